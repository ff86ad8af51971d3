// Rows as text that other programs read: CSV, JSON, SQL.

import type { Cell, Column } from '../api/contract';
import { kindOf } from './types';

export type CopyForm = 'csv' | 'json' | 'sql';

function csvField(cell: Cell): string {
  // RFC 4180 has no NULL; as in PostgreSQL's COPY, nothing is NULL and an empty text is quoted.
  if (cell === null) return '';
  return cell === '' || /[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

export function toCsv(columns: Column[], rows: Cell[][]): string {
  const lines = [columns.map((column) => csvField(column.name)), ...rows.map((row) => row.map(csvField))];
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`;
}

function jsonValue(cell: Cell, column: Column): string {
  if (cell === null) return 'null';
  const kind = kindOf(column.type);
  if (kind === 'boolean' && (cell === 'true' || cell === 'false')) return cell;
  // NaN and the infinities are no numbers in JSON.
  if (kind === 'number' && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(cell)) return cell;
  return JSON.stringify(cell);
}

export function toJson(columns: Column[], rows: Cell[][]): string {
  const objects = rows.map((row) => {
    const fields = columns.map((column, at) => `${JSON.stringify(column.name)}: ${jsonValue(row[at] ?? null, column)}`);
    return `  {${fields.join(', ')}}`;
  });
  return objects.length === 0 ? '[]\n' : `[\n${objects.join(',\n')}\n]\n`;
}

export function quoteName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function sqlValue(cell: Cell, column: Column): string {
  if (cell === null) return 'NULL';
  const kind = kindOf(column.type);
  if (kind === 'boolean' && (cell === 'true' || cell === 'false')) return cell;
  if (kind === 'number' && /^-?\d+(\.\d+)?$/.test(cell)) return cell;
  return quoteText(cell);
}

export function toSql(table: string, columns: Column[], rows: Cell[][]): string {
  if (rows.length === 0) return '';
  const values = rows.map((row) => `  (${columns.map((column, at) => sqlValue(row[at] ?? null, column)).join(', ')})`);
  const names = columns.map((column) => quoteName(column.name)).join(', ');
  return `INSERT INTO ${table} (${names}) VALUES\n${values.join(',\n')};\n`;
}

export function toForm(form: CopyForm, table: string, columns: Column[], rows: Cell[][]): string {
  switch (form) {
    case 'csv':
      return toCsv(columns, rows);
    case 'json':
      return toJson(columns, rows);
    case 'sql':
      return toSql(table, columns, rows);
  }
}
