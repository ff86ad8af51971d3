import { describe, expect, it } from 'vitest';
import type { SchemaStep } from '../../api/contract';
import { newestFirst, tell } from './schema';

describe('changes of a schema', () => {
  it('are told by what was and what is', () => {
    expect(tell({ change: 'column_added', column: 'weight', to: 'integer' })).toEqual({
      kind: 'insert',
      verb: 'added',
      name: 'weight',
      before: null,
      after: 'integer',
    });
    expect(tell({ change: 'column_dropped', column: 'note', from: 'text' })).toMatchObject({
      kind: 'delete',
      before: 'text',
    });
    expect(tell({ change: 'column_widened', column: 'total', from: 'decimal(10,2)' })).toMatchObject({ after: 'text' });
    expect(tell({ change: 'key_changed', from: ['a', 'b'], to: [] })).toMatchObject({
      before: 'a, b',
      after: 'the whole row',
    });
  });

  it('stand with the newest first, and what is not known yet is left out', () => {
    const added: SchemaStep = { change: 'column_added', column: 'a', to: 'text' };
    const unheard = { change: 'column_hidden', column: 'a' } as unknown as SchemaStep;
    const shown = newestFirst([
      { at: null, lsn: '0/1', steps: [added] },
      { at: '2026-01-01T00:00:00Z', lsn: '0/2', steps: [unheard, added] },
    ]);
    expect(shown.map(({ change, told }) => [change.lsn, told.length])).toEqual([
      ['0/2', 1],
      ['0/1', 1],
    ]);
  });
});
