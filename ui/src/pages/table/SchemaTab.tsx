// A table's columns as they are here and at the source, and how far its history can be trusted.

import type { Table, TableStatus } from '../../api/contract';
import { Command, Skeleton } from '../../app/Notes';
import { printCount } from '../../format/quantity';
import { printInstantShort } from '../../format/time';

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
