// A chart of an answer, by its kind. Its numbers can always be had as a table beside it.

import type { Cell, ChartKind, Column } from '../api/contract';
import { kindOf } from '../data/types';
import { Value } from '../data/Value';
import { groupDigits } from '../format/quantity';
import { Bars } from './Bars';
import { Lines } from './Lines';
import { Pie } from './Pie';
import { shapeOf } from './shape';

interface ChartProps {
  kind: ChartKind;
  title: string;
  columns: Column[];
  rows: Cell[][];
  x?: string | null;
  y?: string | null;
  color?: string | null;
  height: number;
}

/** More rows than this belong on a page of their own. */
const TABLE_ROWS_MAX = 200;

function PlainTable({ columns, rows }: { columns: Column[]; rows: Cell[][] }) {
  return (
    <div className="chart-table">
      <table className="list">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} className={kindOf(column.type) === 'number' ? 'number' : ''}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, TABLE_ROWS_MAX).map((row, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows of an answer have no identity but their place
            <tr key={at}>
              {columns.map((column, index) => (
                <td key={column.name} className={kindOf(column.type) === 'number' ? 'number' : 'data'}>
                  <Value cell={row[index] ?? null} type={column.type} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Images({ columns, rows, x, y }: { columns: Column[]; rows: Cell[][]; x?: string | null; y?: string | null }) {
  const at = (name: string | null | undefined) => columns.findIndex((column) => column.name === name);
  const source =
    at(y) === -1 ? (rows[0]?.findIndex((cell) => /^(https?:|\/|data:image\/)/.test(cell ?? '')) ?? -1) : at(y);
  const label = at(x);
  return (
    <ul className="chart-images">
      {rows.slice(0, TABLE_ROWS_MAX).map((row) => (
        <li key={row.join('\u0000')}>
          <img src={row[source] ?? ''} alt={label === -1 ? '' : (row[label] ?? '')} loading="lazy" />
          {label === -1 ? null : <span>{row[label]}</span>}
        </li>
      ))}
    </ul>
  );
}

export function Chart({ kind, title, columns, rows, x, y, color, height }: ChartProps) {
  if (rows.length === 0) return <p className="quiet chart-none">No rows.</p>;
  if (kind === 'number') {
    const column = Math.max(
      0,
      columns.findIndex(({ name }) => name === y),
    );
    const cell = rows[0]?.[column] ?? null;
    return <p className="chart-number">{cell === null ? <span className="null">NULL</span> : groupDigits(cell)}</p>;
  }
  if (kind === 'table') return <PlainTable columns={columns} rows={rows} />;
  if (kind === 'images') return <Images columns={columns} rows={rows} x={x} y={y} />;
  const shape = shapeOf(columns, rows, { x, y, color });
  if (kind === 'line') return <Lines shape={shape} title={title} height={height} />;
  if (kind === 'pie') return <Pie shape={shape} title={title} height={height} />;
  return <Bars shape={shape} title={title} height={height} stacked={kind === 'stacked'} />;
}
