// Filters of a table, in the grammar of PostgREST as it stands in the address: `filter=status.eq.OPEN`.

import { kindOf } from './types';

export const OPERATORS = [
  ['eq', '=', 'is'],
  ['neq', '≠', 'is not'],
  ['lt', '<', 'is below'],
  ['lte', '≤', 'is at most'],
  ['gt', '>', 'is above'],
  ['gte', '≥', 'is at least'],
  ['like', 'like', 'is like (% and _)'],
  ['ilike', 'ilike', 'is like, in any case'],
  ['in', 'in', 'is one of (a,b)'],
  ['is', 'is', 'is null, true or false'],
] as const;

export type Operator = (typeof OPERATORS)[number][0];

export interface Filter {
  column: string;
  operator: Operator;
  value: string;
}

const NAMES = new Set<string>(OPERATORS.map(([name]) => name));

/** Columns may hold points themselves, so the operator is looked for from the left, and the first that is one decides. */
export function parseFilter(text: string): Filter | null {
  for (let at = text.indexOf('.'); at !== -1; at = text.indexOf('.', at + 1)) {
    const rest = text.slice(at + 1);
    const end = rest.indexOf('.');
    if (end !== -1 && NAMES.has(rest.slice(0, end))) {
      return { column: text.slice(0, at), operator: rest.slice(0, end) as Operator, value: rest.slice(end + 1) };
    }
  }
  return null;
}

export function printFilter(filter: Filter): string {
  const value = filter.operator === 'in' && !filter.value.startsWith('(') ? `(${filter.value})` : filter.value;
  return `${filter.column}.${filter.operator}.${value}`;
}

export function symbolOf(operator: Operator): string {
  return OPERATORS.find(([name]) => name === operator)?.[1] ?? operator;
}

/** The operator that a person most likely wants first for a column of this type. */
export function usualOperator(type: string): Operator {
  return kindOf(type) === 'text' ? 'ilike' : 'eq';
}

/** A filter that keeps the rows with this cell. */
export function filterFor(column: string, cell: string | null): Filter {
  return cell === null ? { column, operator: 'is', value: 'null' } : { column, operator: 'eq', value: cell };
}

export interface Order {
  column: string;
  descending: boolean;
}

export function parseOrder(text: string | null): Order | null {
  const match = /^(.+?)(?:\.(asc|desc))?$/.exec(text ?? '');
  return match?.[1] ? { column: match[1], descending: match[2] === 'desc' } : null;
}

export function printOrder(order: Order): string {
  return `${order.column}.${order.descending ? 'desc' : 'asc'}`;
}

/** What a click on a column's name does: ascending, descending, none. */
export function nextOrder(order: Order | null, column: string): Order | null {
  if (order?.column !== column) return { column, descending: false };
  return order.descending ? null : { column, descending: true };
}
