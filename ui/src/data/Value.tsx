// One value, as it stands in a cell: NULL unmistakable, an empty text too, times in the viewer's zone.

import type { Cell } from '../api/contract';
import { printInstant, printUtc } from '../format/time';
import { type Kind, kindOf } from './types';

/** A cell shows a beginning; the whole stands beside the rows. */
const SHOWN_MAX = 300;

export function printCell(cell: string, kind: Kind): string {
  if (kind === 'instant') return printInstant(cell);
  const text = cell.length > SHOWN_MAX ? `${cell.slice(0, SHOWN_MAX)}…` : cell;
  return /[\r\n\t]/.test(text) ? text.replace(/\r\n|[\r\n]/g, '↵').replaceAll('\t', '⇥') : text;
}

export function Value({ cell, type }: { cell: Cell; type: string }) {
  if (cell === null) return <span className="null">NULL</span>;
  if (cell === '') return <span className="null">EMPTY</span>;
  const kind = kindOf(type);
  if (kind === 'instant') return <span title={printUtc(cell)}>{printInstant(cell)}</span>;
  return <>{printCell(cell, kind)}</>;
}
