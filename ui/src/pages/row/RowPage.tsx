// One row's life: each version with only what changed, and the transaction that did it.

import { useMemo, useState } from 'react';
import { withQuery } from '../../api/client';
import type { RowHistory, Table } from '../../api/contract';
import { useJson, useResource } from '../../api/resource';
import { tableAddress } from '../../app/addresses';
import { useNow } from '../../app/clock';
import { useAsksSql } from '../../app/me';
import { CopyButton, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { operationOf } from '../../data/debezium';
import { Value } from '../../data/Value';
import { type Step, stepsOf, volatility } from '../../data/versions';
import { plural, printSpan } from '../../format/quantity';
import { parseInstant, printAge, printInstant, printUtc, zoneName } from '../../format/time';
import { readTransaction } from './transaction';
import './row.css';

function Transaction({ lsn, tables }: { lsn: string; tables: Table[] }) {
  const touched = useResource(`transaction ${lsn}`, (signal) => readTransaction(tables, lsn, signal));
  if (touched.error) return <ErrorNote problem={touched.error} onRetry={touched.reload} />;
  if (touched.data === undefined) return <Skeleton lines={2} />;
  return (
    <table className="list transaction">
      <tbody>
        {touched.data.map(({ table, operation, rows }) => (
          <tr key={`${table} ${operation}`}>
            <td>
              <Link className="data" to={tableAddress(...(table.split('.') as [string, string]), { as_of: lsn })}>
                {table}
              </Link>
            </td>
            <td>
              <span className={`operation ${operationOf(operation)}`}>{operation.toLowerCase()}</span>
            </td>
            <td className="number">{plural(rows, 'row')}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function lasted(step: Step, nowMs: number): string {
  const from = parseInstant(step.version.valid_from)?.ms;
  const to = step.version.valid_to === null ? nowMs : parseInstant(step.version.valid_to)?.ms;
  if (from === undefined || to === undefined) return '';
  const seconds = Math.max(0, (to - from) / 1000);
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : printSpan(seconds);
}

interface CardProps {
  step: Step;
  tables: Table[];
  schema: string;
  name: string;
  keys: Set<string>;
}

function VersionCard({ step, tables, schema, name, keys }: CardProps) {
  const [open, setOpen] = useState(false);
  const asksSql = useAsksSql();
  const now = useNow();
  const { version, differences, opens, closes } = step;
  const current = version.valid_to === null && !closes;
  const shown = opens ? differences.filter(({ column }) => !keys.has(column)) : differences;
  return (
    <li className={`version ${operationOf(version.operation)}`}>
      <div className="version-head">
        <span className={`operation ${operationOf(version.operation)}`}>{version.operation.toLowerCase()}</span>
        <time dateTime={version.valid_from} title={printUtc(version.valid_from)}>
          {printInstant(version.valid_from)}
        </time>
        <span className="faint">{printAge(version.valid_from, now)}</span>
        <span className="grow version-lasted">
          {closes ? 'the row ended' : current ? `current, for ${lasted(step, now)}` : `for ${lasted(step, now)}`}
        </span>
      </div>
      {closes ? null : shown.length === 0 ? (
        <p className="quiet">{opens ? 'Only its key has a value.' : 'Written again with the same values.'}</p>
      ) : (
        <div className={opens ? 'version-values' : 'version-changes'}>
          {shown.map((difference) => (
            <div key={difference.column} className="difference">
              <span className="difference-name">{difference.column}</span>
              {opens ? null : (
                <>
                  <span className="difference-old data">
                    <Value cell={difference.before} type={difference.type} />
                  </span>
                  <span className="difference-arrow" aria-hidden="true">
                    →
                  </span>
                </>
              )}
              <span className="difference-new data">
                <Value cell={difference.after} type={difference.type} />
              </span>
            </div>
          ))}
        </div>
      )}
      <div className="version-foot">
        <span className="faint">
          at <code>{version.lsn}</code>, change {version.seq}
        </span>
        <CopyButton text={version.lsn} label="Copy position" />
        {asksSql ? (
          <button type="button" className="button small" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? 'Hide the transaction' : 'What else it changed'}
          </button>
        ) : null}
        <Link className="button small" to={tableAddress(schema, name, { as_of: version.lsn })}>
          The table as of then
        </Link>
      </div>
      {open ? <Transaction lsn={version.lsn} tables={tables} /> : null}
    </li>
  );
}

function Latest({ history, step }: { history: RowHistory; step: Step | undefined }) {
  if (step === undefined) return null;
  const ended = step.closes;
  return (
    <section className="card row-latest">
      <h2>{ended ? 'As it was when it ended' : 'As it is'}</h2>
      <dl>
        {history.columns.map((column, at) => (
          <div key={column.name} className="fact">
            <dt>{column.name}</dt>
            <dd className="data">
              <Value cell={step.version.values[at] ?? null} type={column.type} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

export default function RowPage({ schema, name }: { schema: string; name: string }) {
  const { query } = usePlace();
  const key = [...query].filter(([parameter]) => parameter.startsWith('key.'));
  const path = withQuery(`/api/row/${encodeURIComponent(schema)}/${encodeURIComponent(name)}`, key);
  const history = useJson<RowHistory>(path);
  const tables = useJson<Table[]>('/api/tables').data ?? [];
  const oldest = query.get('order') === 'oldest';
  const steps = useMemo(() => (history.data ? stepsOf(history.data) : []), [history.data]);
  const shown = oldest ? steps : [...steps].reverse();
  const often = volatility(steps).slice(0, 4);
  const title = key.map(([, value]) => value).join(', ');
  const keys = new Set(key.map(([parameter]) => parameter.slice(4)));

  return (
    <Page
      title={`${name} ${title}`}
      lead={
        <span>
          A row of{' '}
          <Link className="data" to={tableAddress(schema, name)}>
            {schema}.{name}
          </Link>
          . Times are in your zone ({zoneName()}); hover for UTC.
        </span>
      }
      tools={
        <>
          <button type="button" className="button" onClick={history.reload}>
            Read again
          </button>
          <button
            type="button"
            className="button"
            onClick={() => setQuery({ order: oldest ? null : 'oldest' }, { replace: true })}
          >
            {oldest ? 'Newest first' : 'Oldest first'}
          </button>
        </>
      }
    >
      {history.error ? <ErrorNote problem={history.error} onRetry={history.reload} /> : null}
      {history.data === undefined && !history.error ? <Skeleton lines={10} /> : null}
      {history.data && steps.length === 0 ? (
        <Empty title="No version of this row is known.">
          It may be older than the table’s history, or never have been.{' '}
          <Link to={tableAddress(schema, name)}>The table’s rows</Link>
        </Empty>
      ) : null}
      {history.data && steps.length > 0 ? (
        <div className="row-layout">
          <section aria-label="Versions">
            <p className="row-summary">
              {plural(steps.length, 'version')}
              {often.length > 0
                ? `; most often changed: ${often.map(([column, times]) => `${column} (${times})`).join(', ')}`
                : ''}
              {history.data.truncated ? '. There are older ones, which are not shown.' : ''}
            </p>
            <ol className="timeline">
              {shown.map((step) => (
                <VersionCard
                  key={`${step.version.lsn} ${step.version.seq} ${step.version.operation}`}
                  step={step}
                  tables={tables}
                  schema={schema}
                  name={name}
                  keys={keys}
                />
              ))}
            </ol>
          </section>
          <Latest history={history.data} step={steps.at(-1)} />
        </div>
      ) : null}
    </Page>
  );
}
