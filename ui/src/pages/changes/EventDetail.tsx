// One event in full: its values as a person reads them, and the envelope as a program gets it.

import type { Table } from '../../api/contract';
import { rowAddress } from '../../app/addresses';
import { CopyButton } from '../../app/Notes';
import { Link } from '../../app/router';
import { type ChangeEvent, changedColumns, OPERATION_NAMES, printValue } from '../../data/debezium';
import { type Json, printFlat, printLossless } from '../../data/lossless';
import { printLsn } from '../../format/lsn';
import { momentOf } from '../../format/moment';
import { printInstant, printUtc } from '../../format/time';

function Side({ value, type }: { value: Json | undefined; type: string | undefined }) {
  if (value === undefined) return <span className="faint">–</span>;
  const text = printValue(value, type);
  return text === null ? <span className="null">NULL</span> : text;
}

function keyOf(event: ChangeEvent, table: Table): [string, string][] {
  const row = event.after ?? event.before ?? {};
  return table.columns
    .filter((column) => column.key)
    .map((column) => [column.name, printFlat(row[column.name] ?? null)]);
}

export function EventDetail({
  event,
  table,
  onClose,
}: {
  event: ChangeEvent;
  table: Table | undefined;
  onClose: () => void;
}) {
  const changed = new Set(changedColumns(event.before, event.after));
  const names = [...new Set([...Object.keys(event.before ?? {}), ...Object.keys(event.after ?? {})])];
  const types = new Map(table?.columns.map((column) => [column.name, column.source_type ?? column.type]));
  const committed = momentOf(event.committedMs || 0);
  const both = event.before !== null && event.after !== null;
  const key = table ? keyOf(event, table) : [];
  const whole = printLossless(event.whole);
  return (
    <aside className="event-detail" aria-label="The whole event">
      <div className="row">
        <span className={`operation ${event.operation}`}>{OPERATION_NAMES[event.op] ?? event.op}</span>
        <h2 className="grow data">
          {event.schema}.{event.table}
        </h2>
        <button type="button" className="button small" onClick={onClose}>
          Close
        </button>
      </div>
      <dl className="event-facts">
        <div className="fact">
          <dt>committed</dt>
          <dd title={printUtc(committed)}>{printInstant(committed)}</dd>
        </div>
        <div className="fact">
          <dt>position</dt>
          <dd className="data">{/^\d+$/.test(event.lsn) ? printLsn(BigInt(event.lsn)) : event.lsn}</dd>
        </div>
        <div className="fact">
          <dt>transaction</dt>
          <dd className="data">{event.transaction}</dd>
        </div>
      </dl>
      {table && key.length > 0 ? (
        <p>
          <Link to={rowAddress(table.warehouse.schema, table.warehouse.name, key)}>The history of this row</Link>
        </p>
      ) : null}
      <div className="event-values">
        <table className="list">
          <thead>
            <tr>
              <th>column</th>
              {event.before ? <th>before</th> : null}
              {event.after ? <th>after</th> : null}
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name} className={both && changed.has(name) ? 'changed' : ''}>
                <td>{name}</td>
                {event.before ? (
                  <td className="data">
                    <Side value={event.before[name]} type={types.get(name)} />
                  </td>
                ) : null}
                {event.after ? (
                  <td className="data">
                    <Side value={event.after[name]} type={types.get(name)} />
                  </td>
                ) : null}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <details className="event-whole">
        <summary>The envelope, as programs get it</summary>
        <CopyButton text={whole} label="Copy JSON" />
        <pre>{whole}</pre>
      </details>
    </aside>
  );
}
