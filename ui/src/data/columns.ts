// How wide columns are before somebody says otherwise, and what that somebody said.

import { useMemo, useState } from 'react';
import type { Cell, Column } from '../api/contract';
import { kindOf, shortType } from './types';

export interface GridColumn extends Column {
  key?: boolean;
}

const WIDTH_MIN = 56;
const WIDTH_MAX = 340;
/** Width of a character of the data font at its size in a cell. */
const CHARACTER = 7.9;
const PADDING = 26;
/** An instant in the viewer's zone, with milliseconds. */
const INSTANT_CHARACTERS = 23;

function usualWidth(column: Column, sample: (Cell | undefined)[]): number {
  const kind = kindOf(column.type);
  const longest = Math.max(
    column.name.length + 2,
    shortType(column.type).length,
    ...sample.map((cell) => (cell === null || cell === undefined ? 4 : cell.length)),
    kind === 'instant' ? INSTANT_CHARACTERS : 0,
  );
  return Math.round(Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, longest * CHARACTER + PADDING)));
}

export interface Widths {
  of: number[];
  total: number;
  resize: (column: string, width: number) => void;
}

export function useWidths(columns: Column[], sample: (Cell[] | undefined)[], gutter: number): Widths {
  const [chosen, setChosen] = useState<Record<string, number>>({});
  const known = sample.some((row) => row !== undefined);
  // The first rows decide once: later ones would make the columns jump while scrolling.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  const usual = useMemo(
    () =>
      columns.map((column, at) =>
        usualWidth(
          column,
          sample.map((row) => row?.[at]),
        ),
      ),
    [columns, known],
  );
  const of = columns.map((column, at) => chosen[column.name] ?? usual[at] ?? WIDTH_MIN);
  const resize = (column: string, width: number) =>
    setChosen((before) => ({ ...before, [column]: Math.max(WIDTH_MIN, Math.round(width)) }));
  return { of, total: of.reduce((sum, width) => sum + width, gutter), resize };
}
