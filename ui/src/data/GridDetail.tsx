// A value in full, beside the rows it belongs to.

import type { Cell } from '../api/contract';
import { CopyButton } from '../app/Notes';
import { printInstant, printUtc } from '../format/time';
import type { GridColumn } from './columns';
import { parseLossless, printLossless } from './lossless';
import { kindOf } from './types';
import { Value } from './Value';

function whole(cell: string, type: string): string {
  const kind = kindOf(type);
  if (kind === 'instant') return `${printInstant(cell)}\n${printUtc(cell)}`;
  if (kind !== 'json' && !/^\s*[[{]/.test(cell)) return cell;
  try {
    return printLossless(parseLossless(cell));
  } catch {
    return cell;
  }
}

export function GridDetail({ column, cell, onClose }: { column: GridColumn; cell: Cell; onClose: () => void }) {
  return (
    <aside className="grid-detail" aria-label={`Value of ${column.name}`}>
      <div className="row">
        <h3 className="grow data">{column.name}</h3>
        {cell !== null ? <CopyButton text={cell} /> : null}
        <button type="button" className="button small" onClick={onClose}>
          Close
        </button>
      </div>
      <p className="faint">
        {column.type}
        {cell === null ? '' : `, ${cell.length === 1 ? '1 character' : `${cell.length} characters`}`}
      </p>
      {cell === null || cell === '' ? (
        <p>
          <Value cell={cell} type={column.type} />
        </p>
      ) : (
        <pre className="grid-detail-value">{whole(cell, column.type)}</pre>
      )}
    </aside>
  );
}
