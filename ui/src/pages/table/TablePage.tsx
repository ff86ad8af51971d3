// A table's or model's rows, now or as of a moment, and its schema.

import { useEffect, useMemo, useRef, useState } from 'react';
import type { Models, Table } from '../../api/contract';
import { useJson } from '../../api/resource';
import { changesAddress, modelAddress, rowAddress, sqlAddress } from '../../app/addresses';
import { useNow } from '../../app/clock';
import { useKey } from '../../app/keys';
import { useAsksSql, useSeesAll } from '../../app/me';
import { Command, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { go, Link, setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { StateMark } from '../../app/StateMark';
import { useHistorySince, useStatus } from '../../app/status';
import { Tabs } from '../../app/Tabs';
import { AsOf } from '../../data/AsOf';
import { quoteName } from '../../data/copying';
import { Export } from '../../data/Export';
import { Filters } from '../../data/Filters';
import { type Filter, filterFor, nextOrder, printFilter, printOrder } from '../../data/filters';
import { Grid } from '../../data/Grid';
import { PAGE_ROWS, usePaged } from '../../data/paging';
import { plural, printCount } from '../../format/quantity';
import { printAge } from '../../format/time';
import { builtAs } from '../models/nodes';
import { fetchAll, fetchRows, keyOf, questionOf, rowsPath } from './rows';
import { SchemaTab } from './SchemaTab';

function RowsTab({
  table,
  schema,
  name,
  since,
}: {
  table: Table | undefined;
  schema: string;
  name: string;
  since: string | null;
}) {
  const { query } = usePlace();
  const question = useMemo(() => questionOf(schema, name, query), [schema, name, query]);
  const key = rowsPath(question, 0, PAGE_ROWS);
  // Every page is of one position, where that can be had: rows that come and go between two pages would be lost or doubled.
  const paged = usePaged(key, (offset, limit, signal, first) => {
    const asOf = question.asOf ?? (first && table?.history ? first.position : null);
    return fetchRows({ ...question, asOf }, offset, limit, signal);
  });
  const field = useRef<HTMLSelectElement>(null);
  const now = useNow();
  const [readAt, setReadAt] = useState<string | null>(null);
  useKey('/', () => field.current?.focus());
  // biome-ignore lint/correctness/useExhaustiveDependencies: each first page is a reading
  useEffect(() => setReadAt(new Date().toISOString()), [paged.first]);

  const keys = new Set(table?.columns.filter((column) => column.key).map((column) => column.name));
  const names = paged.first?.columns;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the keys come with the table
  const columns = useMemo(
    () => (names ?? []).map((column) => ({ ...column, key: keys.has(column.name) })),
    [names, table],
  );
  const filter = (filters: Filter[]) => setQuery({ filter: filters.map(printFilter) });
  const address = (row: (string | null)[]) => {
    const key = table?.history && names ? keyOf(table, names, row) : null;
    return key ? rowAddress(schema, name, key) : null;
  };
  const loaded = () => {
    const rows: (string | null)[][] = [];
    for (let at = 0; at < paged.total; at += 1) {
      const row = paged.rowAt(at);
      if (row === undefined) break;
      rows.push(row);
    }
    return rows;
  };

  return (
    <>
      {(table?.kind === 'view' && !table.holds) || table?.history !== false || question.asOf ? (
        <AsOf value={question.asOf} since={since} />
      ) : null}
      <div className="row table-tools">
        <div className="grow">
          <Filters columns={names ?? table?.columns ?? []} filters={question.filters} field={field} onChange={filter} />
        </div>
        <button type="button" className="button" onClick={paged.reload}>
          Read again
        </button>
        <Export
          table={`${quoteName(schema)}.${quoteName(name)}`}
          columns={names ?? []}
          rows={loaded}
          all={() => fetchAll(question, table)}
        />
      </div>
      {paged.error ? <ErrorNote problem={paged.error} onRetry={paged.reload} /> : null}
      {paged.first === undefined && !paged.error ? <Skeleton lines={12} /> : null}
      {paged.first && paged.exact && paged.total === 0 ? (
        <Empty title={question.filters.length > 0 ? 'No row passes the filters.' : 'The table has no rows.'}>
          {question.filters.length > 0 ? (
            <button type="button" className="button small" onClick={() => filter([])}>
              Remove the filters
            </button>
          ) : question.asOf ? (
            'At that moment. Back to now shows the rows as they are.'
          ) : (
            <>
              Rows come as they are written at the source;{' '}
              <Command text={`millstream tail ${table?.name ?? name} --follow`} /> shows it.
            </>
          )}
        </Empty>
      ) : null}
      {paged.first && paged.total > 0 ? (
        <div className="grid-place">
          <Grid
            label={`Rows of ${schema}.${name}`}
            columns={columns}
            total={paged.total}
            rowAt={paged.rowAt}
            onNeed={paged.need}
            order={question.order}
            onOrder={(column) => {
              const next = nextOrder(question.order, column);
              setQuery({ order: next && printOrder(next) });
            }}
            rowAddress={address}
            onOpen={(row) => {
              const to = address(row);
              if (to) go(to);
            }}
            onFilter={(column, cell) => filter([...question.filters, filterFor(column, cell)])}
            stale={paged.stale}
          />
          <p className="grid-foot">
            <span>
              {paged.exact ? plural(paged.total, 'row') : `about ${printCount(paged.total)} rows`}
              {question.filters.length > 0 ? ' that pass' : ''}
            </span>
            <span>
              at <code>{paged.first.position}</code>
            </span>
            <span>read {printAge(readAt, now)}</span>
          </p>
        </div>
      ) : null}
    </>
  );
}

const TABS = [
  ['rows', 'Rows'],
  ['schema', 'Schema'],
] as const;

export default function TablePage({ schema, name }: { schema: string; name: string }) {
  const tables = useJson<Table[]>('/api/tables');
  const status = useStatus().data;
  const seesAll = useSeesAll();
  const asksSql = useAsksSql();
  const { query } = usePlace();
  const table = tables.data?.find(({ warehouse }) => warehouse.schema === schema && warehouse.name === name);
  // A view is as old as the oldest table that it may read.
  const oldest = useHistorySince();
  const state = table && status?.tables.find((one) => one.name === table.name);
  const tab = query.get('tab') === 'schema' ? 'schema' : 'rows';
  const full = `${schema}.${name}`;
  const missing = tables.data !== undefined && table === undefined;
  const view = table?.kind === 'view';
  const models = useJson<Models>(view && seesAll ? '/api/models' : null).data;
  const model = builtAs(models?.nodes, schema, name);

  return (
    <Page
      title={full}
      full={tab === 'rows'}
      lead={
        <span className="row">
          <span>
            {table?.holds
              ? 'A model that holds its rows: those that it was last built from.'
              : view
                ? 'A model: a view over tables, always current.'
                : `From ${table?.name ?? '…'} at the source.`}
          </span>
          {state ? <StateMark state={state.state} /> : null}
          {state ? <span className="live">{plural(state.rows ?? 0, 'row')}</span> : null}
        </span>
      }
      tools={
        <>
          {table && !view && seesAll ? (
            <Link className="button" to={changesAddress(table.name)}>
              Changes
            </Link>
          ) : null}
          {model ? (
            <Link className="button" to={modelAddress(model.id)}>
              Model
            </Link>
          ) : null}
          {asksSql ? (
            <Link
              className="button"
              to={sqlAddress(`SELECT *\nFROM ${quoteName(schema)}.${quoteName(name)}\nLIMIT 100`)}
            >
              Ask in SQL
            </Link>
          ) : null}
        </>
      }
    >
      {tables.error && !tables.data ? <ErrorNote problem={tables.error} onRetry={tables.reload} /> : null}
      {missing ? (
        <Empty title={`There is no table ${full}.`}>
          <Link to="/tables">All tables</Link>
        </Empty>
      ) : (
        <>
          <Tabs tabs={TABS} chosen={tab} onChoose={(one) => setQuery({ tab: one === 'rows' ? null : one })} />
          {tab === 'rows' ? (
            <RowsTab
              key={full}
              table={table}
              schema={schema}
              name={name}
              since={view ? oldest : (table?.history_since ?? null)}
            />
          ) : (
            <SchemaTab table={table} status={state} />
          )}
        </>
      )}
    </Page>
  );
}
