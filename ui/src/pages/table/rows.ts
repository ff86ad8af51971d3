// Asking for a table's rows: what the address says, as a question to the server.

import { getJson, withQuery } from '../../api/client';
import type { Cell, Rows, Table } from '../../api/contract';
import type { Taken } from '../../data/Export';
import { type Filter, type Order, parseFilter, parseOrder, printFilter, printOrder } from '../../data/filters';

/** What a browser holds as one text without trouble. */
const EXPORT_ROWS_MAX = 200_000;
const EXPORT_PAGE_ROWS = 1000;

export interface Question {
  schema: string;
  name: string;
  order: Order | null;
  filters: Filter[];
  asOf: string | null;
}

export function questionOf(schema: string, name: string, query: URLSearchParams): Question {
  const filters = query.getAll('filter').flatMap((text) => parseFilter(text) ?? []);
  return { schema, name, order: parseOrder(query.get('order')), filters, asOf: query.get('as_of') };
}

export function rowsPath(question: Question, offset: number, limit: number): string {
  const { schema, name, order, filters, asOf } = question;
  return withQuery(`/api/rows/${encodeURIComponent(schema)}/${encodeURIComponent(name)}`, [
    ['order', order && printOrder(order)],
    ...filters.map((filter): [string, string] => ['filter', printFilter(filter)]),
    ['limit', limit],
    ['offset', offset],
    ['as_of', asOf],
  ]);
}

export function fetchRows(question: Question, offset: number, limit: number, signal?: AbortSignal): Promise<Rows> {
  return getJson<Rows>(rowsPath(question, offset, limit), signal);
}

/** All rows, up to the bound, as of one position: otherwise what changes between two pages would be lost or doubled. */
export async function fetchAll(question: Question, table: Table | undefined): Promise<Taken> {
  const key = table?.columns.find((column) => column.key)?.name;
  const ordered = { ...question, order: question.order ?? (key ? { column: key, descending: false } : null) };
  const first = await fetchRows(ordered, 0, EXPORT_PAGE_ROWS);
  const fixed = { ...ordered, asOf: question.asOf ?? (table?.history ? first.position : null) };
  const rows: Cell[][] = [...first.rows];
  let last = first.rows.length;
  while (last > 0 && rows.length < EXPORT_ROWS_MAX && rows.length % EXPORT_PAGE_ROWS === 0) {
    const page = await fetchRows(fixed, rows.length, EXPORT_PAGE_ROWS);
    last = page.rows.length;
    rows.push(...page.rows);
  }
  return { columns: first.columns, rows, cut: last === EXPORT_PAGE_ROWS };
}

/** The parts of a row's key; null where the table has none, and rows can't be told apart. */
export function keyOf(table: Table, columns: { name: string }[], row: Cell[]): [string, string][] | null {
  const key = table.columns.filter((column) => column.key);
  if (key.length === 0) return null;
  const parts = key.map(({ name }): [string, Cell] => [
    name,
    row[columns.findIndex((column) => column.name === name)] ?? null,
  ]);
  return parts.every((part): part is [string, string] => part[1] !== null) ? parts : null;
}
