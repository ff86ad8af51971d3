// From an answer's rows to what a chart draws: which column is across, which are up, which splits into series.

import type { Cell, ChartKind, Column } from '../api/contract';
import { kindOf } from '../data/types';

export interface Series {
  name: string;
  values: (number | null)[];
}

export interface Shape {
  /** Labels across, in the order of the answer. */
  labels: string[];
  series: Series[];
  /** The axis across is time, so that a line may be drawn between its points. */
  temporal: boolean;
}

export interface Axes {
  x?: string | null;
  y?: string | null;
  color?: string | null;
}

/** More series have no colours that can be told apart; the rest is summed. */
const SERIES_MAX = 8;
/** More bars than pixels show nothing. */
export const LABELS_MAX = 2000;

function numberOf(cell: Cell | undefined): number | null {
  if (cell === null || cell === undefined) return null;
  const number = Number(cell);
  return Number.isFinite(number) ? number : null;
}

function columnAt(columns: Column[], name: string | null | undefined): number {
  return name ? columns.findIndex((column) => column.name === name) : -1;
}

export function guessAxes(columns: Column[]): Axes {
  const numbers = columns.filter((column) => kindOf(column.type) === 'number');
  const others = columns.filter((column) => kindOf(column.type) !== 'number');
  const x =
    others.find((column) => kindOf(column.type) === 'date' || kindOf(column.type) === 'instant') ??
    others[0] ??
    columns[0];
  const y = numbers.filter((column) => column !== x).at(-1);
  const color = others.find((column) => column !== x);
  return { x: x?.name, y: y?.name, color: color?.name };
}

export function shapeOf(columns: Column[], rows: Cell[][], given: Axes): Shape {
  const guess = guessAxes(columns);
  const x = columnAt(columns, given.x ?? guess.x);
  const y = columnAt(columns, given.y ?? guess.y);
  const color = columnAt(columns, given.color ?? (given.x || given.y ? null : guess.color));
  const kind = kindOf(columns[x]?.type ?? '');
  const labels: string[] = [];
  const places = new Map<string, number>();
  const bySeries = new Map<string, (number | null)[]>();
  for (const row of rows) {
    const label = row[x] ?? 'NULL';
    let place = places.get(label);
    if (place === undefined) {
      if (labels.length >= LABELS_MAX) continue;
      place = labels.push(label) - 1;
      places.set(label, place);
    }
    let name = color === -1 ? (columns[y]?.name ?? '') : (row[color] ?? 'NULL');
    if (!bySeries.has(name) && bySeries.size >= SERIES_MAX) name = 'others';
    const values = bySeries.get(name) ?? [];
    bySeries.set(name, values);
    const value = numberOf(row[y]);
    // The same label twice in one series is summed, as stacking would.
    values[place] = value === null ? (values[place] ?? null) : (values[place] ?? 0) + value;
  }
  const series = [...bySeries].map(([name, values]) => ({ name, values: labels.map((_, at) => values[at] ?? null) }));
  return { labels, series, temporal: kind === 'date' || kind === 'instant' };
}

/** The kinds that make sense for an answer. */
export function kindsFor(columns: Column[], rows: Cell[][]): ChartKind[] {
  const numeric = columns.some((column) => kindOf(column.type) === 'number');
  if (rows.length === 1 && columns.length === 1) return ['number', 'table'];
  return numeric && columns.length > 1 ? ['bar', 'line', 'stacked', 'pie', 'table'] : ['table'];
}

export function largest(shape: Shape, stacked: boolean): number {
  if (!stacked) return Math.max(0, ...shape.series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const sums = shape.labels.map((_, at) =>
    shape.series.reduce((sum, { values }) => sum + Math.max(0, values[at] ?? 0), 0),
  );
  return Math.max(0, ...sums);
}

export function smallest(shape: Shape): number {
  return Math.min(0, ...shape.series.flatMap(({ values }) => values.map((value) => value ?? 0)));
}
