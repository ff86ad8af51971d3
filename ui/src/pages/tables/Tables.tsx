// Every table and model: state, rows, versions, since when its history is whole, and what is wrong with it.

import { useMemo, useRef, useState } from 'react';
import type { Table, TableStatus } from '../../api/contract';
import { useJson } from '../../api/resource';
import { tableAddress } from '../../app/addresses';
import { useNow } from '../../app/clock';
import { useKey } from '../../app/keys';
import { rank } from '../../app/matching';
import { useSeesAll } from '../../app/me';
import { Command, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { StateMark } from '../../app/StateMark';
import { useStatus } from '../../app/status';
import { comparing, type Sort, SortHead, sortOf } from '../../data/SortHead';
import { plural, printCount } from '../../format/quantity';
import { printAge, printInstantShort, printUtc, zoneName } from '../../format/time';
import { Resync } from './Resync';

/** The way to a table's page, by its name in the warehouse or another one. */
function TableLink({ warehouse: { schema, name: own }, name }: { warehouse: Table['warehouse']; name?: string }) {
  return (
    <Link className="data" to={tableAddress(schema, own)}>
      {name ?? `${schema}.${own}`}
    </Link>
  );
}

interface Line {
  table: Table;
  status: TableStatus | undefined;
}

type SortBy = 'name' | 'state' | 'rows' | 'versions' | 'since';

function sortValue({ table, status }: Line, by: SortBy): string | number {
  switch (by) {
    case 'name':
      return table.name;
    case 'state':
      return status?.state ?? '';
    case 'rows':
      return status?.rows ?? -1;
    case 'versions':
      return status?.history_rows ?? -1;
    case 'since':
      return status?.history_since ?? '';
  }
}

function Remedies({ status }: { status: TableStatus }) {
  return (
    <>
      {status.state === 'needs_resync' ? (
        <div className="remedy">
          <span>{status.reason ?? 'It has to be read again.'}</span>{' '}
          <Command text={`millstream resync ${status.name}`} />
        </div>
      ) : null}
      {status.quarantined > 0 ? (
        <div className="remedy">
          <span>{plural(status.quarantined, 'change')} in quarantine.</span>{' '}
          <Command text={`millstream quarantine list ${status.name}`} />
        </div>
      ) : null}
      {status.broken_dependents.length > 0 ? (
        <div className="remedy">
          <span>No longer work since a column changed: {status.broken_dependents.join(', ')}.</span>
        </div>
      ) : null}
    </>
  );
}

const HEADS: [SortBy, string, string][] = [
  ['name', 'table', ''],
  ['state', 'state', ''],
  ['rows', 'rows', 'number'],
  ['versions', 'versions', 'number'],
  ['since', 'history since', ''],
];

const SORTS = HEADS.map(([by]) => by);

interface TableListProps {
  lines: Line[];
  now: number;
  sort: Sort<SortBy>;
  onResynced: () => void;
}

function TableList({ lines, now, sort, onResynced }: TableListProps) {
  return (
    <div className="list-around">
      <table className="list even">
        <thead>
          <tr>
            {HEADS.map(([by, name, kind]) => (
              <SortHead key={by} by={by} name={name} className={kind} sort={sort} />
            ))}
            <th>applied</th>
            <th className="number">columns</th>
            <th>
              <span className="hidden">actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {lines.map(({ table, status }) => (
            <tr key={`${table.warehouse.schema}.${table.warehouse.name}`}>
              <td>
                <TableLink warehouse={table.warehouse} name={table.name} />
                {status ? <Remedies status={status} /> : null}
              </td>
              <td className="live">
                <StateMark state={status?.state ?? null} />
              </td>
              <td className="number live">{printCount(status?.rows)}</td>
              <td className="number live">{printCount(status?.history_rows)}</td>
              <td title={status?.history_since ? printUtc(status.history_since) : undefined}>
                {status?.history_since ? printInstantShort(status.history_since) : <span className="faint">–</span>}
              </td>
              <td className="live">{printAge(status?.applied_at, now)}</td>
              <td className="number">
                <Link
                  to={tableAddress(table.warehouse.schema, table.warehouse.name, { tab: 'schema' })}
                  title={
                    table.changes.length > 0 ? `${plural(table.changes.length, 'change')} of the schema` : undefined
                  }
                >
                  {table.columns.length}
                </Link>
              </td>
              <td>
                <Resync table={table.name} onDone={onResynced} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What a role sees of tables: what they are made of, and since when their past can be read. How they are kept is the project's affair. */
function TablesOfRole({ lines }: { lines: Line[] }) {
  return (
    <div className="list-around">
      <table className="list even">
        <thead>
          <tr>
            <th>table</th>
            <th>history since</th>
            <th>columns</th>
          </tr>
        </thead>
        <tbody>
          {lines.map(({ table: { warehouse, columns, history_since } }) => (
            <tr key={`${warehouse.schema}.${warehouse.name}`}>
              <td>
                <TableLink warehouse={warehouse} />
              </td>
              <td title={history_since ? printUtc(history_since) : undefined}>
                {history_since ? printInstantShort(history_since) : <span className="faint">–</span>}
              </td>
              <td className="data quiet">{columns.map(({ name }) => name).join(', ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A model that is a view holds no rows of its own: there is nothing to count, and nothing that could be behind. */
function ModelList({ lines }: { lines: Line[] }) {
  return (
    <div className="list-around">
      <table className="list even">
        <thead>
          <tr>
            <th>model</th>
            <th>state</th>
            <th>columns</th>
          </tr>
        </thead>
        <tbody>
          {lines.map(({ table: { warehouse, columns, holds } }) => (
            <tr key={`${warehouse.schema}.${warehouse.name}`}>
              <td>
                <TableLink warehouse={warehouse} />
              </td>
              <td>{holds ? 'as it was last built' : 'always current'}</td>
              <td className="data quiet">{columns.map(({ name }) => name).join(', ')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export default function Tables() {
  const tables = useJson<Table[]>('/api/tables');
  const status = useStatus();
  const seesAll = useSeesAll();
  const now = useNow();
  const { query } = usePlace();
  const [typed, setTyped] = useState(query.get('find') ?? '');
  const field = useRef<HTMLInputElement>(null);
  useKey('/', () => field.current?.focus());
  const sort = sortOf(query, SORTS, 'name');

  const lines = useMemo(() => {
    const states = new Map(status.data?.tables.map((table) => [table.name, table]));
    return (tables.data ?? []).map((table) => ({
      table,
      status: table.kind === 'table' ? states.get(table.name) : undefined,
    }));
  }, [tables.data, status.data]);
  const found = rank(typed, lines, ({ table }) => table.name);
  const kinds: ['table' | 'view', string][] = [
    ['table', 'Replicated'],
    ['view', 'Models'],
  ];

  return (
    <Page
      title="Tables"
      lead={`Times are in your zone (${zoneName()}); hover for UTC.`}
      tools={
        <input
          ref={field}
          type="search"
          className="field"
          aria-label="Find a table"
          placeholder="Find a table ( / )"
          value={typed}
          onChange={(event) => {
            setTyped(event.target.value);
            setQuery({ find: event.target.value || null }, { replace: true });
          }}
        />
      }
    >
      {tables.error && !tables.data ? <ErrorNote problem={tables.error} onRetry={tables.reload} /> : null}
      {tables.data === undefined && !tables.error ? <Skeleton lines={8} /> : null}
      {tables.data && found.length === 0 ? (
        <Empty
          title={
            typed
              ? 'No table is called so.'
              : seesAll
                ? 'No table is replicated yet.'
                : 'No table is for this key’s role.'
          }
        >
          {typed || !seesAll ? null : (
            <>
              source.postgres.tables in millstream.yml chooses them; <Command text="millstream plan" /> says what it
              matches.
            </>
          )}
        </Empty>
      ) : null}
      {kinds.map(([kind, name]) => {
        const some = found.filter(({ table }) => table.kind === kind);
        if (some.length === 0) return null;
        const sorted =
          typed.trim() === '' ? some.sort(comparing((line) => sortValue(line, sort.by), sort.descending)) : some;
        return (
          <section key={kind}>
            <h2 className="section-name">{name}</h2>
            {kind === 'view' ? (
              <ModelList lines={sorted} />
            ) : !seesAll ? (
              <TablesOfRole lines={sorted} />
            ) : (
              <TableList lines={sorted} now={now} sort={sort} onResynced={status.reload} />
            )}
          </section>
        );
      })}
    </Page>
  );
}
