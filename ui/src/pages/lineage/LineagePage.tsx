// What is made of what: sources, tables, models, endpoints, dashboards. Searched, followed up and down, cut to what is connected.

import { type KeyboardEvent, useMemo, useRef, useState } from 'react';
import type { Lineage, LineageKind, LineageNode, Models } from '../../api/contract';
import { useJson } from '../../api/resource';
import { dashboardAddress, endpointAddress, modelAddress, tableAddress } from '../../app/addresses';
import { useKey } from '../../app/keys';
import { rank } from '../../app/matching';
import { Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { plural } from '../../format/quantity';
import { Drawing } from '../../graph/Drawing';
import { connected, layoutOf, part, waysOf } from '../../graph/layout';
import { builtAs } from '../models/nodes';
import './lineage.css';

/** Beyond this a drawing of everything shows no names; what is connected to one node is drawn first. */
const WHOLE_MAX = 150;
const FOUND_MAX = 100;
const KINDS: LineageKind[] = ['source', 'table', 'model', 'endpoint', 'dashboard'];

function addressOf(node: LineageNode): string | null {
  switch (node.kind) {
    case 'table':
    case 'model': {
      const [schema, name] = node.label.split('.');
      return schema && name ? tableAddress(schema, name) : null;
    }
    case 'endpoint':
      return endpointAddress(node.label);
    case 'dashboard':
      return dashboardAddress(node.id.replace(/^dashboard[:/.]/, ''));
    case 'source':
      return null;
  }
}

function Near({ title, nodes }: { title: string; nodes: LineageNode[] }) {
  return (
    <section>
      <h3>{title}</h3>
      {nodes.length === 0 ? <p className="faint">nothing</p> : null}
      <ul>
        {nodes.map((node) => (
          <li key={node.id}>
            <button type="button" className="saved-open" onClick={() => setQuery({ node: node.id })}>
              {node.label}
            </button>{' '}
            <span className="faint">{node.kind}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

export default function LineagePage() {
  const resource = useJson<Lineage>('/api/lineage');
  const { query } = usePlace();
  const [typed, setTyped] = useState('');
  const field = useRef<HTMLInputElement>(null);
  useKey('/', () => field.current?.focus());
  const whole = resource.data;
  const node = whole?.nodes.find(({ id }) => id === query.get('node'));
  const cut = node !== undefined && query.get('only') !== 'no';

  const ways = useMemo(() => (whole ? waysOf(whole) : null), [whole]);
  const near = useMemo(() => (whole && node ? connected(whole, node.id) : null), [whole, node]);
  const layout = useMemo(() => {
    if (!whole) return null;
    return layoutOf(cut && near ? part(whole, near) : whole);
  }, [whole, near, cut]);
  const found = useMemo(
    () => (whole && typed.trim() ? rank(typed, whole.nodes, ({ label }) => label).slice(0, FOUND_MAX) : []),
    [whole, typed],
  );
  const counts = useMemo(() => {
    const by = new Map<LineageKind, number>();
    for (const { kind } of whole?.nodes ?? []) by.set(kind, (by.get(kind) ?? 0) + 1);
    return [...by].map(([kind, count]) => plural(count, kind)).join(', ');
  }, [whole]);
  const of = (ids: string[] | undefined) => (whole?.nodes ?? []).filter(({ id }) => ids?.includes(id));
  const choose = (id: string | null) => {
    setQuery({ node: id });
    setTyped('');
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && found[0]) choose(found[0].id);
    if (event.key === 'Escape') setTyped('');
  };
  const address = node ? addressOf(node) : null;
  const project = useJson<Models>(node?.kind === 'model' ? '/api/models' : null).data;
  const [schema, name] = node?.label.split('.') ?? [];
  const model = schema && name ? builtAs(project?.nodes, schema, name) : undefined;

  return (
    <Page
      title="Lineage"
      full
      lead={whole ? `${counts}.` : <>&nbsp;</>}
      tools={
        <div className="menu">
          <input
            ref={field}
            type="search"
            className="field"
            aria-label="Find a node"
            placeholder="Find ( / )"
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
            onKeyDown={press}
          />
          {found.length > 0 ? (
            <div className="menu-list lineage-found">
              {found.map((one) => (
                <button key={one.id} type="button" onClick={() => choose(one.id)}>
                  {one.label} <span className="faint">{one.kind}</span>
                </button>
              ))}
            </div>
          ) : null}
        </div>
      }
    >
      {resource.error && !whole ? <ErrorNote problem={resource.error} onRetry={resource.reload} /> : null}
      {whole === undefined && !resource.error ? <Skeleton lines={8} /> : null}
      {whole?.nodes.length === 0 ? (
        <Empty title="Nothing is made of anything yet.">
          Tables appear as they are replicated, models as files in models/.
        </Empty>
      ) : null}
      {whole && layout && whole.nodes.length > 0 ? (
        <div className="lineage">
          {whole.nodes.length > WHOLE_MAX && !node ? (
            <p className="quiet lineage-note">Find a node to see only what it is made of and what is made of it.</p>
          ) : null}
          <Drawing
            key={cut ? node?.id : 'all'}
            name="Lineage"
            layout={layout}
            kinds={KINDS}
            chosen={node?.id ?? null}
            near={near}
            onChoose={choose}
          />
          {node && ways ? (
            <aside className="lineage-detail" aria-label={node.label}>
              <div className="row">
                <h2 className="grow data">{node.label}</h2>
                <button type="button" className="button small" onClick={() => choose(null)}>
                  Close
                </button>
              </div>
              <p className="row">
                <span className={`kind kind-${node.kind}`}>{node.kind}</span>
                {address ? <Link to={address}>Open</Link> : null}
                {model ? <Link to={modelAddress(model.id)}>Its model</Link> : null}
              </p>
              <label className="row">
                <input type="checkbox" checked={cut} onChange={() => setQuery({ only: cut ? 'no' : null })} />
                Only what is connected: {plural((near?.size ?? 1) - 1, 'node')}
              </label>
              <Near title="Made of" nodes={of(ways.into.get(node.id))} />
              <Near title="Goes into" nodes={of(ways.outOf.get(node.id))} />
            </aside>
          ) : null}
        </div>
      ) : null}
    </Page>
  );
}
