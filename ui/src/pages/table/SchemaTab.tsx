// A table's columns as they are here and at the source, and how far its history can be trusted.

import type { Table, TableStatus } from '../../api/contract';
import { tableAddress } from '../../app/addresses';
import { Command, Skeleton } from '../../app/Notes';
import { Link } from '../../app/router';
import { printCount } from '../../format/quantity';
import { printInstantShort, printUtc } from '../../format/time';
import { newestFirst, type Told } from './schema';

function Step({ told }: { told: Told }) {
  return (
    <li className="schema-step">
      <span className={`operation ${told.kind}`}>{told.verb}</span>
      {told.name ? <span className="data">{told.name}</span> : null}
      {told.before ? <span className={told.after ? 'data quiet' : 'data faint'}>{told.before}</span> : null}
      {told.before && told.after ? <span aria-hidden="true">→</span> : null}
      {told.after ? <span className="data">{told.after}</span> : null}
    </li>
  );
}

/** What the columns were, and when they became others. Each moment leads to the rows as they were. */
function Changes({ table }: { table: Table }) {
  const shown = newestFirst(table.changes);
  const { schema, name } = table.warehouse;
  return (
    <section className="card history-card">
      <h2>Changes of the schema</h2>
      {shown.length === 0 ? (
        <p className="quiet">
          None since the table was first copied. A column that is added, dropped, renamed or retyped is told here.
        </p>
      ) : (
        <ol className="schema-changes">
          {shown.map(({ change, told }) => (
            <li key={change.lsn + change.at}>
              <span className="schema-when">
                <time dateTime={change.at ?? undefined} title={change.at ? printUtc(change.at) : undefined}>
                  {change.at ? printInstantShort(change.at) : '–'}
                </time>
                {table.history ? (
                  <Link to={tableAddress(schema, name, { as_of: change.lsn })}>
                    <code>{change.lsn}</code>
                  </Link>
                ) : (
                  <code className="faint">{change.lsn}</code>
                )}
              </span>
              <ul>
                {told.map((step) => (
                  <Step key={`${step.verb} ${step.name} ${step.before} ${step.after}`} told={step} />
                ))}
              </ul>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

export function SchemaTab({ table, status }: { table: Table | undefined; status: TableStatus | undefined }) {
  if (table === undefined) return <Skeleton lines={8} />;
  const source = table.kind === 'table';
  return (
    <>
      <div className="list-around">
        <table className="list">
          <thead>
            <tr>
              <th className="number">no.</th>
              <th>column</th>
              <th>type here</th>
              {source ? <th>type at the source</th> : null}
              {source ? <th>key</th> : null}
              <th>NULL</th>
            </tr>
          </thead>
          <tbody>
            {table.columns.map((column, at) => (
              <tr key={column.name}>
                <td className="number faint">{at + 1}</td>
                <td className="data">{column.name}</td>
                <td className="data">{column.type}</td>
                {source ? <td className="data">{column.source_type ?? '–'}</td> : null}
                {source ? <td>{column.key ? 'key' : ''}</td> : null}
                <td className="quiet">{column.nullable === false ? 'never' : column.nullable ? 'possible' : '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {source ? <Changes table={table} /> : null}
      {status ? (
        <section className="card history-card">
          <h2>History</h2>
          <p>
            {status.history_since
              ? `Every version since ${printInstantShort(status.history_since)}: ${printCount(status.history_rows)} of them.`
              : 'None is kept.'}
          </p>
          {status.uncertain.length === 0 ? (
            <p className="quiet">Certain throughout.</p>
          ) : (
            <ul>
              {status.uncertain.map((stretch) => (
                <li key={stretch.from}>
                  <span className="state amber">not certain</span> from {printInstantShort(stretch.from_time)} to{' '}
                  {stretch.to_time ? printInstantShort(stretch.to_time) : 'now'}: {stretch.reason}
                </li>
              ))}
            </ul>
          )}
          {status.state === 'needs_resync' ? <Command text={`millstream resync ${status.name}`} /> : null}
        </section>
      ) : null}
    </>
  );
}
