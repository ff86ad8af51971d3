// A node of the dbt project: what it is and reads, its code, columns, tests with their history, and its runs.

import { useMemo } from 'react';
import { problemOfFile } from '../../api/client';
import type { Model, ModelNode, NodeResource } from '../../api/contract';
import { modelAddress, sqlAddress, tableAddress } from '../../app/addresses';
import { useAsksSql } from '../../app/me';
import { Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { go, Link, setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { Tabs } from '../../app/Tabs';
import { Sql } from '../../code/Sql';
import { Drawing } from '../../graph/Drawing';
import { connected, layoutOf, part } from '../../graph/layout';
import { ChecksTab } from './ChecksTab';
import { ColumnsTab } from './ColumnsTab';
import { LastRun, StatusMark, Tests } from './marks';
import { RelationLink } from './NodeList';
import { culprits, graphOf, KINDS, levelOf, marksOf, shapeOf, titleOf, titleOfId } from './nodes';
import { useIsThere, useModel, useProject } from './project';
import './models.css';
import { RunsTab } from './RunsTab';

type Tab = 'overview' | 'code' | 'columns' | 'tests' | 'runs';

const NAMES: Record<Tab, string> = {
  overview: 'Overview',
  code: 'Code',
  columns: 'Columns',
  tests: 'Tests',
  runs: 'Runs',
};

const TABS: Record<NodeResource, Tab[]> = {
  model: ['overview', 'code', 'columns', 'tests', 'runs'],
  snapshot: ['overview', 'code', 'columns', 'tests', 'runs'],
  seed: ['overview', 'columns', 'tests', 'runs'],
  source: ['overview', 'columns', 'tests'],
  exposure: ['overview'],
};

/** Known by its name before anything else is, so that the tabs stand still when the rest comes. */
const resourceOf = (id: string): NodeResource =>
  (Object.keys(TABS) as NodeResource[]).find((one) => id.startsWith(`${one}.`)) ?? 'model';

function Nodes({ title, ids, nodes }: { title: string; ids: string[]; nodes: Map<string, ModelNode> }) {
  return (
    <section>
      <h2>{title}</h2>
      {ids.length === 0 ? <p className="faint">nothing</p> : null}
      <ul className="model-near">
        {ids.map((id) => {
          const node = nodes.get(id);
          return (
            <li key={id}>
              <span className={`kind kind-${resourceOf(id)}`}>
                <Link className="data" to={modelAddress(id)}>
                  {titleOfId(id)}
                </Link>
              </span>
              <span className="faint">{node?.materialized ?? resourceOf(id)}</span>
              {node?.last && levelOf(node.last.status) !== 'good' ? <StatusMark status={node.last.status} /> : null}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** What the node is made of and what is made of it, near and far. */
function Around({ id, nodes }: { id: string; nodes: ModelNode[] }) {
  const shape = shapeOf(nodes);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the shape tells when another graph is to be laid out; statuses come each few seconds
  const layout = useMemo(() => {
    const graph = graphOf(nodes);
    return layoutOf(part(graph, connected(graph, id)));
  }, [shape, id]);
  const marks = useMemo(() => marksOf(nodes), [nodes]);
  const kinds = KINDS.filter((kind) => layout.nodes.some((node) => node.kind === kind));
  return (
    <div className="model-around">
      <Drawing
        name={`What ${titleOfId(id)} is connected to:`}
        layout={layout}
        kinds={kinds}
        marks={marks}
        chosen={id}
        near={null}
        onChoose={(to) => to && go(modelAddress(to))}
      />
    </div>
  );
}

function OverviewTab({ model, nodes, there }: { model: Model; nodes: ModelNode[]; there: boolean }) {
  const known = useMemo(() => new Map(nodes.map((node) => [node.id, node])), [nodes]);
  return (
    <div className="model-overview">
      <section className="model-facts">
        <p className={model.description ? 'model-description' : 'faint'}>{model.description || 'No description.'}</p>
        <dl>
          <dt>resource</dt>
          <dd>{model.resource}</dd>
          {model.materialized ? (
            <>
              <dt>materialized</dt>
              <dd>{model.materialized}</dd>
            </>
          ) : null}
          <dt>relation</dt>
          <dd>
            <RelationLink node={model} there={there} />
          </dd>
          <dt>file</dt>
          <dd className="data">{model.path}</dd>
          <dt>package</dt>
          <dd className="data">{model.package}</dd>
          {model.tags.length > 0 ? (
            <>
              <dt>tags</dt>
              <dd className="row">
                {model.tags.map((tag) => (
                  <Link key={tag} to={`/models?tag=${encodeURIComponent(tag)}`}>
                    {tag}
                  </Link>
                ))}
              </dd>
            </>
          ) : null}
          {TABS[model.resource].includes('tests') ? (
            <>
              <dt>tests</dt>
              <dd>
                <Tests tests={model.tests} />
              </dd>
            </>
          ) : null}
          {TABS[model.resource].includes('runs') ? (
            <>
              <dt>last run</dt>
              <dd>
                <LastRun node={model} />
              </dd>
            </>
          ) : null}
        </dl>
      </section>
      <Around id={model.id} nodes={nodes} />
      <div className="model-neighbours">
        <Nodes title="Reads" ids={model.parents} nodes={known} />
        <Nodes title="Read by" ids={model.children} nodes={known} />
      </div>
    </div>
  );
}

function CodeTab({ model }: { model: Model }) {
  const { query } = usePlace();
  const asksSql = useAsksSql();
  const compiled = query.get('code') === 'compiled';
  const code = compiled ? model.compiled : model.raw;
  const choice = (
    <>
      {(['raw', 'compiled'] as const).map((one) => (
        <button
          key={one}
          type="button"
          className="button small"
          aria-pressed={(one === 'compiled') === compiled}
          onClick={() => setQuery({ code: one === 'raw' ? null : one }, { replace: true })}
        >
          {one === 'raw' ? 'Raw' : 'Compiled'}
        </button>
      ))}
      <span className="data faint">{model.path}</span>
      {compiled && model.compiled && asksSql ? <Link to={sqlAddress(model.compiled)}>Open in SQL</Link> : null}
    </>
  );
  return (
    <>
      <Sql code={code ?? ''} label={compiled ? 'Compiled SQL' : 'Code'} tools={choice} />
      {code === null ? (
        <p className="quiet">
          {compiled ? 'It is compiled when it is built, or by millstream compile.' : 'It has no code of its own.'}
        </p>
      ) : null}
    </>
  );
}

/** What kept the node from being built, whole. */
function Failure({ model, nodes }: { model: Model; nodes: ModelNode[] }) {
  if (model.last === null) return null;
  const { status, message } = model.last;
  if (levelOf(status) === 'red') return <ErrorNote problem={problemOfFile(message ?? 'it failed without a message')} />;
  if (status !== 'skipped') return null;
  const reasons = culprits(nodes, model.id);
  return (
    <div className="note amber">
      <p className="note-head">It was skipped in the last run.</p>
      <p className="note-hint row">
        {reasons.length === 0 ? (message ?? 'What it reads was not built.') : 'What it is made of failed:'}
        {reasons.map((node) => (
          <Link key={node.id} className="data" to={modelAddress(node.id)}>
            {titleOf(node)}
          </Link>
        ))}
      </p>
    </div>
  );
}

function TabName({ tab, model }: { tab: Tab; model: Model | undefined }) {
  if (tab !== 'columns' && tab !== 'tests') return NAMES[tab];
  const counted = tab === 'tests' ? model?.checks : model?.columns;
  return (
    <>
      {NAMES[tab]}
      <span className="faint tab-count">{counted?.length ?? ''}</span>
    </>
  );
}

export default function ModelPage({ id }: { id: string }) {
  const resource = useModel(id);
  const project = useProject().data;
  const { query } = usePlace();
  const isThere = useIsThere(project?.runs[0]?.id);
  const tabs = TABS[resourceOf(id)];
  const tab = tabs.find((one) => one === query.get('tab')) ?? 'overview';
  const model = resource.data;
  const nodes = project?.nodes ?? [];
  const there = model !== undefined && isThere(model);

  return (
    <Page
      title={titleOfId(id)}
      lead={
        <span className="row">
          <Link to="/models">Models</Link>
          <span>{model ? (model.materialized ?? model.resource) : '\u00a0'}</span>
          {model && tabs.includes('runs') ? <LastRun node={model} /> : null}
        </span>
      }
      tools={
        there && model?.relation ? (
          <Link className="button" to={tableAddress(model.relation.schema, model.relation.name)}>
            Rows
          </Link>
        ) : null
      }
    >
      {resource.error && !model ? (
        resource.error.status === 404 ? (
          <Empty title={`There is no node ${id}.`}>
            The project may have changed since. <Link to="/models">All models</Link>
          </Empty>
        ) : (
          <ErrorNote problem={resource.error} onRetry={resource.reload} />
        )
      ) : (
        <>
          {model ? <Failure model={model} nodes={nodes} /> : null}
          <Tabs
            tabs={tabs.map((one) => [one, <TabName key={one} tab={one} model={model} />] as const)}
            chosen={tab}
            onChoose={(one) => setQuery({ tab: one === 'overview' ? null : one, column: null, check: null })}
          />
          {model === undefined ? <Skeleton lines={10} /> : null}
          {model && tab === 'overview' ? <OverviewTab model={model} nodes={nodes} there={there} /> : null}
          {model && tab === 'code' ? <CodeTab model={model} /> : null}
          {model && tab === 'columns' ? <ColumnsTab model={model} /> : null}
          {model && tab === 'tests' ? <ChecksTab model={model} /> : null}
          {model && tab === 'runs' ? <RunsTab model={model} /> : null}
        </>
      )}
    </Page>
  );
}
