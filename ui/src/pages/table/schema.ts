// How a table's schema changed, in words.

import type { SchemaChange, SchemaStep } from '../../api/contract';

/** What a step did: to the column (or the table), and how. Names and types are shown as data. */
export interface Told {
  kind: 'insert' | 'update' | 'delete';
  verb: string;
  name: string;
  before: string | null;
  after: string | null;
}

const names = (columns: string[]): string => (columns.length === 0 ? 'the whole row' : columns.join(', '));

export function tell(step: SchemaStep): Told {
  switch (step.change) {
    case 'column_added':
      return { kind: 'insert', verb: 'added', name: step.column, before: null, after: step.to };
    case 'column_dropped':
      return { kind: 'delete', verb: 'dropped', name: step.column, before: step.from, after: null };
    case 'column_renamed':
      return { kind: 'update', verb: 'renamed', name: '', before: step.from, after: step.to };
    case 'column_retyped':
      return { kind: 'update', verb: 'retyped', name: step.column, before: step.from, after: step.to };
    case 'column_widened':
      return { kind: 'update', verb: 'widened here', name: step.column, before: step.from, after: 'text' };
    case 'key_changed':
      return { kind: 'update', verb: 'key', name: '', before: names(step.from), after: names(step.to) };
    case 'table_renamed':
      return { kind: 'update', verb: 'table renamed', name: '', before: step.from, after: step.to };
  }
}

/** A step that this version does not know yet is left out. */
const isKnown = (step: SchemaStep): boolean => tell(step) !== undefined;

/** The changes as they are shown: the newest first. */
export function newestFirst(changes: SchemaChange[]): { change: SchemaChange; told: Told[] }[] {
  return changes.map((change) => ({ change, told: change.steps.filter(isKnown).map(tell) })).reverse();
}
