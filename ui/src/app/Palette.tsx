// Ctrl-K: go anywhere by typing a part of its name.

import { type KeyboardEvent, useEffect, useMemo, useState } from 'react';
import type { Dashboard, Endpoint, Me, ModelNode, Models, ProjectQuery, Table } from '../api/contract';
import { useJson } from '../api/resource';
import { titleOf } from '../pages/models/nodes';
import { savedQueries } from '../pages/sql/saved';
import { dashboardAddress, endpointAddress, modelAddress, sqlAddress, tableAddress } from './addresses';
import { Dialog } from './Dialog';
import { rank } from './matching';
import { may, useAsksSql, useMe, useSeesAll } from './me';
import { pagesFor } from './navigation';
import { go } from './router';
import { setTheme, type Theme } from './theme';

interface Target {
  /** Where its kind and name may be another's too. */
  id?: string;
  kind: string;
  name: string;
  about?: string;
  act: () => void;
}

/** More would be a list to read, not a choice. */
const SHOWN_MAX = 12;

interface Known {
  tables: Table[];
  nodes: ModelNode[];
  endpoints: Endpoint[];
  dashboards: Dashboard[];
  queries: ProjectQuery[];
}

function targetsOf(me: Me | null, known: Known, help: () => void): Target[] {
  const { tables, nodes, endpoints, dashboards, queries } = known;
  const pages = pagesFor(me).flatMap(({ pages }) => pages);
  const page = pages.map((page) => ({
    kind: 'page',
    name: page.name,
    about: page.about,
    act: () => go(page.path),
  }));
  const node = nodes.map((node) => ({
    id: node.id,
    kind: node.resource,
    name: titleOf(node),
    about: node.description || node.path,
    act: () => go(modelAddress(node.id)),
  }));
  const table = tables.map(({ kind, warehouse: { schema, name } }) => ({
    kind: kind === 'view' && nodes.length === 0 ? 'model' : 'table',
    name: `${schema}.${name}`,
    act: () => go(tableAddress(schema, name)),
  }));
  const endpoint = endpoints.map(({ path, description }) => ({
    kind: 'endpoint',
    name: path,
    about: description ?? undefined,
    act: () => go(endpointAddress(path)),
  }));
  const dashboard = dashboards.map(({ name, title }) => ({
    kind: 'dashboard',
    name: title,
    act: () => go(dashboardAddress(name)),
  }));
  const shared = queries.flatMap(({ title, description, sql }) =>
    sql === null ? [] : [{ kind: 'query', name: title, about: description ?? sql, act: () => go(sqlAddress(sql)) }],
  );
  const query = (may(me, 'sql') ? savedQueries() : []).map(({ name, sql }) => ({
    kind: 'query',
    name,
    about: sql,
    act: () => go(sqlAddress(sql)),
  }));
  const themes: Theme[] = ['light', 'dark', 'system'];
  const setting = themes.map((theme) => ({ kind: 'setting', name: `Theme: ${theme}`, act: () => setTheme(theme) }));
  const keys = { kind: 'help', name: 'Keys', about: 'what the keyboard does', act: help };
  return [...page, ...table, ...node, ...endpoint, ...dashboard, ...shared, ...query, ...setting, keys];
}

function Choice({ onClose, onHelp }: { onClose: () => void; onHelp: () => void }) {
  const me = useMe();
  const seesAll = useSeesAll();
  const tables = useJson<Table[]>('/api/tables').data;
  const endpoints = useJson<Endpoint[]>('/api/endpoints').data;
  const dashboards = useJson<Dashboard[]>('/api/dashboards').data;
  const queries = useJson<ProjectQuery[]>(useAsksSql() ? '/api/queries' : null).data;
  const nodes = useJson<Models>(seesAll ? '/api/models' : null).data?.nodes;
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const targets = useMemo(
    () =>
      targetsOf(
        me,
        {
          tables: tables ?? [],
          nodes: nodes ?? [],
          endpoints: endpoints ?? [],
          dashboards: dashboards ?? [],
          queries: queries ?? [],
        },
        onHelp,
      ),
    [me, tables, nodes, endpoints, dashboards, queries, onHelp],
  );
  const found = useMemo(() => rank(text, targets, (target) => target.name).slice(0, SHOWN_MAX), [text, targets]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: what was typed decides what stands first
  useEffect(() => setAt(0), [text]);

  const choose = (target: Target | undefined) => {
    if (target === undefined) return;
    onClose();
    target.act();
  };
  const press = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0 && found.length > 0) {
      event.preventDefault();
      setAt((at) => (at + step + found.length) % found.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      choose(found[at]);
    }
  };

  return (
    <>
      <input
        className="palette-input"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found.length > 0 ? `palette-${at}` : undefined}
        aria-label="Go to"
        placeholder="Go to a page, table, model, endpoint, dashboard, query"
        // biome-ignore lint/a11y/noAutofocus: a dialog that asks one thing
        autoFocus
        spellCheck={false}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={press}
      />
      <div id="palette-list" role="listbox" aria-label="Found" className="palette-list">
        {found.map((target, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the keys
          <div
            key={target.id ?? `${target.kind} ${target.name}`}
            id={`palette-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            className="palette-option"
            onPointerMove={() => setAt(index)}
            onClick={() => choose(target)}
          >
            <span className="palette-kind">{target.kind}</span>
            <span className="palette-name">{target.name}</span>
            {target.about ? <span className="palette-about">{target.about}</span> : null}
          </div>
        ))}
        {found.length === 0 ? <p className="palette-none">Nothing here is called so.</p> : null}
      </div>
    </>
  );
}

export function Palette({ open, onClose, onHelp }: { open: boolean; onClose: () => void; onHelp: () => void }) {
  return (
    <Dialog open={open} title="Go to" className="palette" onClose={onClose}>
      <Choice onClose={onClose} onHelp={onHelp} />
    </Dialog>
  );
}
