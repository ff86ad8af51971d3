// The dbt project that is built in the warehouse: its graph, its last runs, and its nodes as a list.

import { memo, useDeferredValue, useMemo, useRef } from 'react';
import type { Models as Document, ModelNode, ProjectRun } from '../../api/contract';
import { Age } from '../../app/Age';
import { modelAddress, runAddress } from '../../app/addresses';
import { useKey } from '../../app/keys';
import { Command, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { go, Link, setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { sortOf } from '../../data/SortHead';
import { plural, printCount, printSeconds } from '../../format/quantity';
import { Drawing } from '../../graph/Drawing';
import { layoutOf, part } from '../../graph/layout';
import { Told } from './marks';
import { NodeList } from './NodeList';
import {
  choicesOf,
  filtersOf,
  graphOf,
  isFiltered,
  KINDS,
  listed,
  marksOf,
  type NodeFilters,
  SORTS,
  STATES,
  shapeOf,
  troubleOf,
  withNeighbours,
} from './nodes';
import { useIsThere, useProject } from './project';
import './models.css';

/** Beyond this a graph of everything shows no names: of what is looked for, and what that touches, it does. */
const WHOLE_MAX = 150;

/** Drawn again when it changes, and not with every letter that is typed beside it: a thousand nodes take a while. */
const Graph = memo(function Graph({ nodes, found }: { nodes: ModelNode[]; found: ReadonlySet<string> | null }) {
  const shape = shapeOf(nodes);
  const cut = found !== null && nodes.length > WHOLE_MAX;
  const cutShape = cut ? [...found].join(' ') : '';
  // biome-ignore lint/correctness/useExhaustiveDependencies: the shapes tell when another graph is to be laid out; statuses come each few seconds
  const layout = useMemo(() => {
    const graph = graphOf(nodes);
    return layoutOf(cut ? part(graph, withNeighbours(nodes, found)) : graph);
  }, [shape, cutShape]);
  const marks = useMemo(() => marksOf(nodes), [nodes]);
  const kinds = KINDS.filter((kind) => nodes.some(({ resource }) => resource === kind));
  return (
    <Drawing
      key={cutShape}
      name="The project’s graph"
      layout={layout}
      kinds={kinds}
      marks={marks}
      near={found}
      onChoose={(id) => id && go(modelAddress(id))}
    />
  );
});

function Runs({ runs }: { runs: ProjectRun[] }) {
  return (
    <section className="models-runs card" aria-label="Last runs">
      <h2>Last runs</h2>
      {runs.length === 0 ? <p className="faint">None yet.</p> : null}
      <ol>
        {runs.map((run) => (
          <li key={run.id} title={run.id}>
            <Link to={runAddress(run.id)} className="models-run">
              <span className="models-run-head">
                <strong className="data">{run.verb}</strong>
                <span className="faint">
                  <Age at={run.at} />
                </span>
                <span className="models-run-seconds data">{printSeconds(run.seconds)}</span>
              </span>
              <Told run={run} />
            </Link>
          </li>
        ))}
      </ol>
    </section>
  );
}

interface ChoiceProps {
  name: string;
  any: string;
  value: string | null;
  options: [string, string][];
}

function Choice({ name, any, value, options }: ChoiceProps) {
  return (
    <select
      className="field"
      aria-label={any}
      value={value ?? ''}
      onChange={(event) => setQuery({ [name]: event.target.value || null }, { replace: true })}
    >
      <option value="">{any}</option>
      {options.map(([word, label]) => (
        <option key={word} value={word}>
          {label}
        </option>
      ))}
    </select>
  );
}

const same = (values: string[]): [string, string][] => values.map((value) => [value, value]);

function Choices({ nodes, filters, shown }: { nodes: ModelNode[]; filters: NodeFilters; shown: number }) {
  const tags = choicesOf(nodes, (node) => node.tags);
  const materialized = choicesOf(nodes, (node) => [node.materialized]);
  const resources = KINDS.filter((kind) => nodes.some(({ resource }) => resource === kind));
  return (
    <div className="row models-choices">
      <Choice name="resource" any="Any resource" value={filters.resource} options={same(resources)} />
      <Choice name="materialized" any="Any materialization" value={filters.materialized} options={same(materialized)} />
      {tags.length > 0 ? <Choice name="tag" any="Any tag" value={filters.tag} options={same(tags)} /> : null}
      <Choice
        name="status"
        any="Any status"
        value={filters.state}
        options={STATES.map(([word, label]) => [word, label])}
      />
      <span className="quiet">{plural(shown, 'node')}</span>
      {isFiltered(filters) ? (
        <button
          type="button"
          className="button bare small"
          onClick={() => setQuery({ find: null, resource: null, materialized: null, tag: null, status: null })}
        >
          Remove the filters
        </button>
      ) : null}
    </div>
  );
}

function NoProject() {
  return (
    <Empty title="There is no dbt project here.">
      <p>
        A <code>dbt_project.yml</code> beside <code>millstream.yml</code> makes one: its models are built in this
        warehouse, on the live tables. The how-to “Build models on live tables” (<code>docs/how-to/models.md</code>)
        begins with two models.
      </p>
      <p>
        <code>models/NAME.sql</code> alone is kept as a view without one; such views are among the{' '}
        <Link to="/tables">tables</Link>.
      </p>
    </Empty>
  );
}

/** Nodes are known from what was built, for that is what the warehouse holds. */
function NeverBuilt() {
  return (
    <Empty title="Nothing of the project is built yet.">
      <Command text="millstream build" /> in the project’s directory builds it, through this instance; what became of it
      is told here.
    </Empty>
  );
}

/** How many there are of each, and how many are not as they should be. */
function leadOf({ nodes }: Document): string {
  const counts = ['model', 'seed', 'snapshot'].flatMap((kind) => {
    const count = nodes.filter(({ resource }) => resource === kind).length;
    return count > 0 ? [plural(count, kind)] : [];
  });
  const troubled = nodes.filter((node) => troubleOf(node) !== null).length;
  const trouble = troubled > 0 ? `${printCount(troubled)} with trouble` : 'nothing is wrong';
  return `The dbt project in this warehouse: ${counts.join(', ') || plural(nodes.length, 'node')}; ${trouble}.`;
}

function Project({ nodes, runs }: Document) {
  const { query } = usePlace();
  const filters = filtersOf(query);
  const sort = sortOf(query, SORTS, 'name');
  const isThere = useIsThere(runs[0]?.id);
  const field = useRef<HTMLInputElement>(null);
  useKey('/', () => field.current?.focus());
  const shown = listed(nodes, filters, sort);
  const filtered = isFiltered(filters);
  const text = useDeferredValue(filtered ? shown.map(({ id }) => id).join('\n') : null);
  const found = useMemo(() => (text === null ? null : new Set(text.split('\n'))), [text]);
  return (
    <div className="models">
      <Graph nodes={nodes} found={found} />
      <div className="models-list">
        <div className="row models-find">
          <input
            ref={field}
            type="search"
            className="field"
            aria-label="Find a node"
            placeholder="Find ( / )"
            value={filters.find}
            onChange={(event) => setQuery({ find: event.target.value || null }, { replace: true })}
            onKeyDown={(event) => {
              const first = shown[0];
              if (event.key === 'Enter' && first && filters.find.trim() !== '') go(modelAddress(first.id));
            }}
          />
          <Choices nodes={nodes} filters={filters} shown={shown.length} />
        </div>
        {shown.length > 0 ? (
          <NodeList nodes={shown} sort={sort} isThere={isThere} />
        ) : (
          <Empty title={filtered ? 'No node passes the filters.' : 'It has sources and exposures only.'} />
        )}
      </div>
      <Runs runs={runs} />
    </div>
  );
}

export default function Models() {
  const models = useProject();
  const { data } = models;
  return (
    <Page title="Models" full lead={data && data.nodes.length > 0 ? leadOf(data) : <>&nbsp;</>}>
      {models.error && !data ? <ErrorNote problem={models.error} onRetry={models.reload} /> : null}
      {data === undefined && !models.error ? <Skeleton lines={12} /> : null}
      {data && data.project === null ? <NoProject /> : null}
      {data && data.project !== null && data.nodes.length === 0 ? <NeverBuilt /> : null}
      {data && data.project !== null && data.nodes.length > 0 ? <Project {...data} /> : null}
    </Page>
  );
}
