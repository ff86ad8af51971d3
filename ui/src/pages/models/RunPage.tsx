// A run of the project: what went wrong first, then each of its nodes in the order in which they began, with when that was and how long it took.

import { useEffect, useState } from 'react';
import type { RunDetail, RunNode } from '../../api/contract';
import { useJson } from '../../api/resource';
import { Age } from '../../app/Age';
import { Command, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { useSight } from '../../data/sight';
import { rowWindow } from '../../data/window';
import { plural, printCount, printSeconds } from '../../format/quantity';
import { printInstantShort, printUtc } from '../../format/time';
import { Message } from './ChecksTab';
import { StatusMark, Told } from './marks';
import { levelOf } from './nodes';
import { addressOf, nameOf, type Span, spansOf, statusesOf, wrongOf } from './runs';
import './models.css';

/** What went wrong is told whole up to here; more of it is in the list. */
const WRONG_MAX = 20;
const LINE_HEIGHT = 30;
/** On a narrow screen a node takes three lines. */
const LINE_HEIGHT_NARROW = 74;
const NARROW = '(max-width: 760px)';
const HEADS = ['status', 'node', 'began', 'took', 'time', 'rows', 'message'] as const;
const HEAD_CLASSES: Partial<Record<(typeof HEADS)[number], string>> = {
  began: 'number',
  took: 'number',
  time: 'run-scale',
  rows: 'number',
};
const HEAD_TITLES: Partial<Record<(typeof HEADS)[number], string>> = {
  began: 'After the run began',
  rows: 'Written by what was built, found by a test',
};
function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const change = () => setNarrow(query.matches);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  return narrow;
}

function NodeName({ node }: { node: RunNode }) {
  const to = addressOf(node);
  const name = nameOf(node);
  if (to === null) {
    return (
      <span className="data quiet" title={`${node.id}: the project no longer has it`}>
        {name}
      </span>
    );
  }
  return (
    <Link className="data" to={to} title={node.id}>
      {name}
    </Link>
  );
}

function Wrong({ nodes }: { nodes: RunNode[] }) {
  const wrong = wrongOf(nodes);
  if (wrong.length === 0) return null;
  return (
    <section className="run-wrong" aria-label="What went wrong">
      <h2>What went wrong</h2>
      <ol>
        {wrong.slice(0, WRONG_MAX).map((node) => (
          <li key={node.id} className={`run-wrong-node ${levelOf(node.status)}`}>
            <p className="run-wrong-head">
              <StatusMark status={node.status} />
              <NodeName node={node} />
              {node.message?.includes('\n') ? null : <span className="quiet">{node.message}</span>}
            </p>
            {node.message?.includes('\n') ? <Message text={node.message} /> : null}
          </li>
        ))}
      </ol>
      {wrong.length > WRONG_MAX ? (
        <p className="quiet">and {printCount(wrong.length - WRONG_MAX)} more in the list.</p>
      ) : null}
    </section>
  );
}

interface LineProps {
  node: RunNode;
  span: Span;
  place: number;
}

function Line({ node, span, place }: LineProps) {
  const rows = node.rows ?? (node.about === null ? null : node.failures);
  const began = `began ${printSeconds(span.began)} after the run, took ${printSeconds(node.seconds)}`;
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the link within it is what can be focused
    <div role="row" aria-rowindex={place} className="run-line">
      <span role="cell" className="run-status">
        <StatusMark status={node.status} />
      </span>
      <span role="cell" className="run-node">
        <NodeName node={node} />
      </span>
      <span role="cell" className="run-began number">
        {printSeconds(span.began)}
      </span>
      <span role="cell" className="run-took number">
        {printSeconds(node.seconds)}
      </span>
      <span role="cell" className="run-bar" title={began}>
        <span className="hidden">{began}</span>
        <span
          className={`run-span ${levelOf(node.status)}`}
          style={{ left: `${span.from * 100}%`, width: `${span.width * 100}%` }}
        />
      </span>
      <span role="cell" className={`run-rows number ${rows === null ? 'none' : ''}`}>
        {rows === null ? <span className="faint">–</span> : printCount(rows)}
      </span>
      <span role="cell" className="run-message quiet" title={node.message ?? undefined}>
        {node.message ?? ''}
      </span>
    </div>
  );
}

function Nodes({ run, nodes }: { run: RunDetail; nodes: RunNode[] }) {
  const { scroller, onScroll, view } = useSight();
  const narrow = useNarrow();
  const height = narrow ? LINE_HEIGHT_NARROW : LINE_HEIGHT;
  const { first, count } = rowWindow(view.top, view.height, nodes.length, height);
  const { whole, of } = spansOf(run);
  return (
    <div ref={scroller} className="list-around run-around" onScroll={onScroll}>
      <div
        role="table"
        aria-label="Nodes in the order in which they began"
        aria-rowcount={nodes.length + 1}
        className="run-nodes"
      >
        {/* biome-ignore lint/a11y/useFocusableInteractive: nothing happens on it */}
        <div role="row" aria-rowindex={1} className="run-line run-head">
          {HEADS.map((head) => (
            // biome-ignore lint/a11y/useFocusableInteractive: nothing happens on it
            <span key={head} role="columnheader" className={HEAD_CLASSES[head]} title={HEAD_TITLES[head]}>
              {head === 'time' ? (
                <>
                  <span className="hidden">time, from </span>
                  <span>0 s</span>
                  <span className="hidden"> to </span>
                  <span>{printSeconds(whole)}</span>
                </>
              ) : (
                head
              )}
            </span>
          ))}
        </div>
        <div
          role="rowgroup"
          style={{ paddingTop: first * height, paddingBottom: (nodes.length - first - count) * height }}
        >
          {nodes.slice(first, first + count).map((node, at) => (
            <Line key={node.id} node={node} span={of(node)} place={first + at + 2} />
          ))}
        </div>
      </div>
    </div>
  );
}

function Choices({ nodes, chosen }: { nodes: RunNode[]; chosen: string | null }) {
  const statuses = statusesOf(nodes);
  if (statuses.length < 2) return null;
  return (
    <fieldset className="row run-choices">
      <legend className="hidden">Nodes by status</legend>
      {[[null, nodes.length] as const, ...statuses].map(([status, count]) => (
        <button
          key={status ?? ''}
          type="button"
          className="button small"
          aria-pressed={status === chosen}
          onClick={() => setQuery({ status }, { replace: true })}
        >
          {status === null ? 'All' : <StatusMark status={status} />} {printCount(count)}
        </button>
      ))}
    </fieldset>
  );
}

function Run({ run }: { run: RunDetail }) {
  const { query } = usePlace();
  const chosen = statusesOf(run.nodes).find(([status]) => status === query.get('status'))?.[0] ?? null;
  const nodes = chosen === null ? run.nodes : run.nodes.filter(({ status }) => status === chosen);
  if (run.nodes.length === 0) {
    return run.no_longer_kept > 0 ? (
      <Empty title="Its nodes are no longer kept.">
        Of each node the last 30 outcomes are, and none of one that the project no longer has.{' '}
        <Link to="/models">The last runs</Link>
      </Empty>
    ) : (
      <Empty title="It built and tested nothing.">
        {run.verb === 'compile' || run.verb === 'generate' ? 'It only compiled. ' : 'Nothing was selected. '}
        <Command text="millstream build" /> builds and tests all of the project.
      </Empty>
    );
  }
  return (
    <>
      <Wrong nodes={run.nodes} />
      <Choices nodes={run.nodes} chosen={chosen} />
      <Nodes key={chosen} run={run} nodes={nodes} />
      {run.no_longer_kept > 0 ? (
        <p className="quiet">
          {plural(run.no_longer_kept, 'more outcome is', 'more outcomes are')} no longer kept: of each node the last 30
          are, and none of one that the project no longer has.
        </p>
      ) : null}
    </>
  );
}

export default function RunPage({ id }: { id: string }) {
  const resource = useJson<RunDetail>(`/api/models/runs/${encodeURIComponent(id)}`);
  const run = resource.data;
  return (
    <Page
      title={run ? `${run.verb}, ${printInstantShort(run.at)}` : 'Run'}
      lead={
        <span className="row">
          <Link to="/models">Models</Link>
          {run ? (
            <>
              <span title={printUtc(run.at)}>
                <Age at={run.at} />, took {printSeconds(run.seconds)}
              </span>
              <Told run={run} />
            </>
          ) : (
            <>&nbsp;</>
          )}
        </span>
      }
    >
      {resource.error && !run ? (
        resource.error.status === 404 ? (
          <Empty title="There is no such run.">
            The last 200 are kept. <Link to="/models">The last runs</Link>
          </Empty>
        ) : (
          <ErrorNote problem={resource.error} onRetry={resource.reload} />
        )
      ) : null}
      {run === undefined && !resource.error ? <Skeleton lines={12} /> : null}
      {run ? <Run run={run} /> : null}
    </Page>
  );
}
