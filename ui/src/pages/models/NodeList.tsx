// The nodes as a list, however many: only the lines in sight are drawn.

import type { ModelNode } from '../../api/contract';
import { modelAddress, tableAddress } from '../../app/addresses';
import { Link } from '../../app/router';
import { type Sort, SortHead } from '../../data/SortHead';
import { useSight } from '../../data/sight';
import { rowWindow } from '../../data/window';
import { printSeconds } from '../../format/quantity';
import { LastRun, Tests } from './marks';
import { type SortBy, titleOf } from './nodes';

const LINE_HEIGHT = 30;
const HEAD_HEIGHT = 36;
/** The way to the rows, where there are any; before it was built a relation is a name alone. */
export function RelationLink({ node, there }: { node: ModelNode; there: boolean }) {
  if (node.relation === null) return <span className="faint">–</span>;
  const { schema, name } = node.relation;
  const full = `${schema}.${name}`;
  return there ? (
    <Link className="data" to={tableAddress(schema, name)} title={full}>
      {full}
    </Link>
  ) : (
    <span className="data quiet" title={full}>
      {full}
    </span>
  );
}

function Line({ node, there, place }: { node: ModelNode; there: boolean; place: number }) {
  const title = titleOf(node);
  return (
    <tr aria-rowindex={place}>
      <td>
        <Link className="data" to={modelAddress(node.id)} title={title}>
          {title}
        </Link>
      </td>
      <td>
        <LastRun node={node} />
      </td>
      <td className="number">
        {node.last && node.last.status !== 'skipped' ? (
          printSeconds(node.last.seconds)
        ) : (
          <span className="faint">–</span>
        )}
      </td>
      <td>
        <Tests tests={node.tests} />
      </td>
      <td>{node.materialized ?? node.resource}</td>
      <td>
        <RelationLink node={node} there={there} />
      </td>
      <td className="quiet" title={node.description || undefined}>
        {node.description}
      </td>
    </tr>
  );
}

interface NodeListProps {
  nodes: ModelNode[];
  sort: Sort<SortBy>;
  /** Whether a relation can be opened. */
  isThere: (node: ModelNode) => boolean;
}

export function NodeList({ nodes, sort, isThere }: NodeListProps) {
  const { scroller, onScroll, view } = useSight();

  const { first, count } = rowWindow(view.top, view.height - HEAD_HEIGHT, nodes.length, LINE_HEIGHT);
  const below = nodes.length - first - count;
  return (
    <div ref={scroller} className="list-around nodes-around" onScroll={onScroll}>
      <table className="list nodes" aria-rowcount={nodes.length + 1}>
        <thead>
          <tr>
            <SortHead by="name" name="name" className="nodes-name" sort={sort} />
            <SortHead by="last" name="last run" className="nodes-last" sort={sort} />
            <SortHead by="seconds" name="took" className="nodes-seconds number" sort={sort} />
            <th className="nodes-tests">tests</th>
            <th className="nodes-kind">kind</th>
            <th className="nodes-relation">relation</th>
            <th>description</th>
          </tr>
        </thead>
        <tbody>
          {first > 0 ? <tr style={{ height: first * LINE_HEIGHT }} /> : null}
          {nodes.slice(first, first + count).map((node, at) => (
            <Line key={node.id} node={node} there={isThere(node)} place={first + at + 2} />
          ))}
          {below > 0 ? <tr style={{ height: below * LINE_HEIGHT }} /> : null}
        </tbody>
      </table>
    </div>
  );
}
