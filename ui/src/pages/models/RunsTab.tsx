// The last runs of a node: how long each took as a chart, and how each ended.

import type { Model, NodeResult } from '../../api/contract';
import { Age } from '../../app/Age';
import { runAddress } from '../../app/addresses';
import { Command, Empty } from '../../app/Notes';
import { Link } from '../../app/router';
import { Bars } from '../../charts/Bars';
import type { Shape } from '../../charts/shape';
import { printCount, printSeconds } from '../../format/quantity';
import { printInstantShort, printUtc } from '../../format/time';
import { Message } from './ChecksTab';
import { StatusMark } from './marks';
import { timings } from './timings';

const HEIGHT = 180;

function Timings({ history }: { history: NodeResult[] }) {
  const shape: Shape = timings(history);
  if (shape.labels.length < 2) return null;
  return (
    <section className="card model-timings">
      <h2>Seconds a run</h2>
      <Bars shape={shape} title="Seconds a run" height={HEIGHT} stacked={false} />
    </section>
  );
}

/** A word stays in its line; what went wrong has lines of its own. */
function Said({ message }: { message: string | null }) {
  if (message === null) return null;
  return message.includes('\n') ? <Message text={message} /> : <span className="quiet">{message}</span>;
}

export function RunsTab({ model }: { model: Model }) {
  if (model.history.length === 0) {
    return (
      <Empty title="It was never built.">
        <Command text={`millstream build --select ${model.name}`} /> builds it.
      </Empty>
    );
  }
  return (
    <>
      <Timings history={model.history} />
      <div className="list-around">
        <table className="list">
          <thead>
            <tr>
              <th>status</th>
              <th>when</th>
              <th>age</th>
              <th className="number">took</th>
              {model.history.some(({ failures }) => failures !== null) ? <th className="number">failures</th> : null}
              <th>message</th>
            </tr>
          </thead>
          <tbody>
            {model.history.map(({ run, status, at, seconds, failures, message }) => (
              <tr key={`${run} ${at}`}>
                <td>
                  <StatusMark status={status} />
                </td>
                <td title={printUtc(at)} className="model-when">
                  <Link to={runAddress(run)}>{printInstantShort(at)}</Link>
                </td>
                <td className="quiet">
                  <Age at={at} />
                </td>
                <td className="number">{printSeconds(seconds)}</td>
                {model.history.some((one) => one.failures !== null) ? (
                  <td className="number">{printCount(failures)}</td>
                ) : null}
                <td>
                  <Said message={message} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
