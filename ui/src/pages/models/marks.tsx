// How nodes and tests stand, in few words: a status with its mark, counts of tests, the last runs as a strip.

import type { ModelNode, NodeResult, ProjectRun, TestCounts } from '../../api/contract';
import { Age } from '../../app/Age';
import { plural, printSeconds } from '../../format/quantity';
import { printInstantShort } from '../../format/time';
import { isBuilt, levelOf, notRun, toldOf } from './nodes';

export function StatusMark({ status }: { status: string }) {
  return <span className={`state ${levelOf(status)}`}>{status}</span>;
}

/** How the last run of a node ended and when; what there is to say where it never ran. */
export function LastRun({ node }: { node: ModelNode }) {
  if (node.last) {
    return (
      <>
        <StatusMark status={node.last.status} />{' '}
        <span className="faint">
          <Age at={node.last.at} />
        </span>
      </>
    );
  }
  const why = isBuilt(node) ? 'never built' : node.materialized === 'ephemeral' ? 'part of what reads it' : '–';
  return <span className="faint">{why}</span>;
}

export function Tests({ tests }: { tests: TestCounts }) {
  const { total, pass, warn, fail, error, skipped } = tests;
  if (total === 0) return <span className="faint">–</span>;
  const rest = notRun(tests);
  return (
    <span className="tests-brief">
      {fail + error > 0 ? <span className="state red">{fail + error} failed</span> : null}
      {warn > 0 ? <span className="state amber">{warn} warned</span> : null}
      {pass > 0 ? <span>{pass} passed</span> : null}
      {skipped > 0 ? <span className="quiet">{skipped} skipped</span> : null}
      {rest > 0 ? <span className="faint">{rest} not run</span> : null}
    </span>
  );
}

/** Runs in the order of time: what was well stands still, what was not is seen. */
export function Strip({ history }: { history: NodeResult[] }) {
  const counts = new Map<string, number>();
  for (const { status } of history) counts.set(status, (counts.get(status) ?? 0) + 1);
  const told = [...counts].map(([status, count]) => `${count} ${status}`).join(', ');
  return (
    <span className="strip" role="img" aria-label={`the last ${plural(history.length, 'run')}: ${told}`}>
      {[...history].reverse().map(({ run, at, status, seconds }) => (
        <span
          key={`${run} ${at}`}
          className={`strip-run ${levelOf(status)}`}
          title={`${status}, ${printInstantShort(at)}, ${printSeconds(seconds)}`}
        />
      ))}
    </span>
  );
}

/** What a run came to, the worst first. */
export function Told({ run }: { run: ProjectRun }) {
  return (
    <span className="models-run-told">
      {toldOf(run).map(({ level, text }) => (
        <span key={text} className={level ? `state ${level}` : 'quiet'}>
          {text}
        </span>
      ))}
    </span>
  );
}
