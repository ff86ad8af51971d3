// The tests of a node: how each stands now, its last runs, and on demand its message and its SQL.

import { Fragment } from 'react';
import type { Model, ModelCheck } from '../../api/contract';
import { Age } from '../../app/Age';
import { sqlAddress } from '../../app/addresses';
import { useAsksSql } from '../../app/me';
import { CopyButton, Empty } from '../../app/Notes';
import { Link, setQuery, usePlace } from '../../app/router';
import { Sql } from '../../code/Sql';
import { printCount, printSeconds } from '../../format/quantity';
import { StatusMark, Strip } from './marks';
import { checksInOrder } from './nodes';

const COLUMNS = 8;

/** A message as it was said, whole. */
export function Message({ text }: { text: string }) {
  return (
    <div className="model-message">
      <pre>{text}</pre>
      <CopyButton text={text} label="Copy the message" />
    </div>
  );
}

function Detail({ check }: { check: ModelCheck }) {
  const asksSql = useAsksSql();
  const message = check.history[0]?.message;
  return (
    <div className="check-detail">
      <p className="row">
        <span className="data">{check.path}</span> <span className="data faint">{check.id}</span>
      </p>
      {message ? <Message text={message} /> : null}
      {check.compiled ? (
        <Sql
          code={check.compiled}
          label="Compiled SQL"
          tools={
            <>
              <span>Compiled SQL</span>
              {asksSql ? <Link to={sqlAddress(check.compiled)}>Open in SQL</Link> : null}
            </>
          }
        />
      ) : (
        <p className="quiet">Its SQL is there once it ran.</p>
      )}
    </div>
  );
}

function Line({ check, open }: { check: ModelCheck; open: boolean }) {
  const last = check.history[0];
  return (
    <tr>
      <td>{last ? <StatusMark status={last.status} /> : <span className="faint">never ran</span>}</td>
      <td>
        <button
          type="button"
          className="saved-open data"
          aria-expanded={open}
          title={check.name}
          onClick={() => setQuery({ check: open ? null : check.id }, { replace: true })}
        >
          {check.kind ?? check.name}
        </button>
      </td>
      <td className="data">{check.column ?? <span className="faint">–</span>}</td>
      <td>{check.severity}</td>
      <td className="number">{printCount(last?.failures)}</td>
      <td className="quiet">{last ? <Age at={last.at} /> : '–'}</td>
      <td className="number">{printSeconds(last?.seconds)}</td>
      <td>{check.history.length > 0 ? <Strip history={check.history} /> : null}</td>
    </tr>
  );
}

export function ChecksTab({ model }: { model: Model }) {
  const { query } = usePlace();
  const column = query.get('column');
  const chosen = query.get('check');
  const ordered = checksInOrder(model);
  const some = column === null ? ordered : ordered.filter((check) => check.column === column);
  if (model.checks.length === 0) {
    return (
      <Empty title="It has no tests.">
        A properties file names them for its columns (<code>data_tests: [unique, not_null]</code>); a file in{' '}
        <code>tests/</code> with a SELECT is one too.
      </Empty>
    );
  }
  return (
    <>
      {column === null ? null : (
        <p className="row">
          <span>
            Tests of <span className="data">{column}</span>
          </span>
          <button type="button" className="button bare small" onClick={() => setQuery({ column: null })}>
            All tests
          </button>
        </p>
      )}
      <div className="list-around">
        <table className="list even">
          <thead>
            <tr>
              <th>status</th>
              <th>test</th>
              <th>column</th>
              <th>severity</th>
              <th className="number">failures</th>
              <th>last run</th>
              <th className="number">took</th>
              <th>runs</th>
            </tr>
          </thead>
          <tbody>
            {some.map((check) => (
              <Fragment key={check.id}>
                <Line check={check} open={check.id === chosen} />
                {check.id === chosen ? (
                  <tr className="check-open">
                    <td colSpan={COLUMNS}>
                      <Detail check={check} />
                    </td>
                  </tr>
                ) : null}
              </Fragment>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
