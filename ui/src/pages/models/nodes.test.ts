// What is said about nodes, which of them are listed, and what a run came to.

import { describe, expect, it } from 'vitest';
import type { ModelNode, TestCounts } from '../../api/contract';
import {
  builtAs,
  culprits,
  filtersOf,
  graphOf,
  listed,
  notRun,
  titleOf,
  toldOf,
  troubleOf,
  withNeighbours,
} from './nodes';
import { timings } from './timings';

const tests = (counts: Partial<TestCounts> = {}): TestCounts => ({
  total: 0,
  pass: 0,
  warn: 0,
  fail: 0,
  error: 0,
  skipped: 0,
  ...counts,
});

const node = (id: string, rest: Partial<ModelNode> = {}): ModelNode => ({
  id,
  resource: id.split('.')[0] as ModelNode['resource'],
  name: id.split('.').at(-1) ?? '',
  package: 'shop',
  path: '',
  description: '',
  tags: [],
  materialized: 'table',
  relation: null,
  parents: [],
  tests: tests(),
  last: null,
  ...rest,
});

const ran = (status: string, at = '2026-01-31T10:00:00Z', seconds = 0.1): ModelNode['last'] => ({
  status,
  at,
  seconds,
  message: null,
});

const NODES = [
  node('source.shop.shop.orders', { materialized: null, relation: { schema: 'main', name: 'totals' } }),
  node('model.shop.stg_orders', { parents: ['source.shop.shop.orders'], materialized: 'view', last: ran('error') }),
  node('model.shop.totals', {
    parents: ['model.shop.stg_orders'],
    relation: { schema: 'main', name: 'Totals' },
    tags: ['nightly'],
    description: 'Sums of orders',
    last: ran('skipped', '2026-01-31T10:00:01Z', 0),
  }),
  node('seed.shop.names', { last: ran('success', '2026-01-30T10:00:00Z', 0.5), tests: tests({ total: 2, fail: 1 }) }),
  node('exposure.shop.report', { parents: ['model.shop.totals'], materialized: null }),
];

const names = (query: string, by: 'name' | 'last' | 'seconds' = 'name', descending = false) =>
  listed(NODES, filtersOf(new URLSearchParams(query)), { by, descending }).map(({ name }) => name);

describe('nodes', () => {
  it('are called so that two of them differ', () => {
    expect(titleOf({ id: 'model.shop.totals.v2', name: 'totals' })).toBe('totals.v2');
    expect(titleOf({ id: 'source.shop.raw.orders', name: 'orders' })).toBe('raw.orders');
    expect(titleOf({ id: 'odd', name: 'odd' })).toBe('odd');
  });

  it('have the trouble that matters most', () => {
    expect(troubleOf(node('model.a.b', { last: ran('success'), tests: tests({ total: 1, pass: 1 }) }))).toBeNull();
    expect(troubleOf(node('model.a.b'))).toBeNull();
    expect(troubleOf(node('model.a.b', { last: ran('error'), tests: tests({ fail: 1 }) }))?.says).toBe('error');
    expect(troubleOf(node('model.a.b', { last: ran('skipped'), tests: tests({ error: 1, fail: 1 }) }))).toEqual({
      level: 'red',
      says: '2 tests failed',
    });
    expect(troubleOf(node('model.a.b', { last: ran('success'), tests: tests({ warn: 1 }) }))?.level).toBe('amber');
    expect(troubleOf(node('model.a.b', { last: ran('no-op') }))).toBeNull();
  });

  it('are filtered by the address', () => {
    expect(names('')).toEqual(['names', 'stg_orders', 'totals']);
    expect(names('resource=source')).toEqual(['orders']);
    expect(names('materialized=view')).toEqual(['stg_orders']);
    expect(names('tag=nightly')).toEqual(['totals']);
    expect(names('status=trouble')).toEqual(['names', 'stg_orders', 'totals']);
    expect(names('status=failed')).toEqual(['stg_orders']);
    expect(names('status=tests')).toEqual(['names']);
    expect(names('status=skipped&materialized=view')).toEqual([]);
    expect(names('find=ORDERS')).toEqual(['stg_orders', 'totals']);
    expect(names('find=tls')).toEqual(['totals']);
  });

  it('are sorted, those that never ran at the end of the newest', () => {
    expect(names('', 'last', true)).toEqual(['totals', 'stg_orders', 'names']);
    expect(names('', 'seconds', true)).toEqual(['names', 'stg_orders', 'totals']);
  });

  it('are found by what they built, whatever the case, and sources built nothing', () => {
    expect(builtAs(NODES, 'main', 'totals')?.id).toBe('model.shop.totals');
    expect(builtAs(NODES, 'main', 'names')).toBeUndefined();
    expect(builtAs(undefined, 'main', 'totals')).toBeUndefined();
  });

  it('are skipped because of what failed before them', () => {
    expect(culprits(NODES, 'model.shop.totals').map(({ name }) => name)).toEqual(['stg_orders']);
    expect(culprits(NODES, 'seed.shop.names')).toEqual([]);
  });

  it('are a graph, with neighbours', () => {
    expect(graphOf(NODES).edges).toHaveLength(3);
    expect([...withNeighbours(NODES, new Set(['model.shop.totals']))].sort()).toEqual([
      'exposure.shop.report',
      'model.shop.stg_orders',
      'model.shop.totals',
    ]);
  });

  it('have tests that never ran', () => {
    expect(notRun(tests({ total: 5, pass: 1, fail: 1, skipped: 1 }))).toBe(2);
  });
});

describe('a run', () => {
  it('says what failed first, and the rest in one number', () => {
    const run = { id: '', verb: 'build', at: '', seconds: 1 };
    const told = (counts: Record<string, number>) => toldOf({ ...run, counts }).map(({ text }) => text);
    expect(told({ success: 3, pass: 2, 'no-op': 1 })).toEqual(['6 ok']);
    expect(told({ skipped: 2, success: 1, warn: 1, fail: 2, error: 1 })).toEqual([
      '2 failed tests',
      '1 error',
      '2 skipped',
      '1 warning',
      '1 ok',
    ]);
    expect(told({})).toEqual([]);
  });
});

describe('timings', () => {
  const result = (at: string, seconds: number) => ({
    run: at,
    status: 'success',
    at,
    seconds,
    failures: null,
    message: null,
  });

  it('stand in the order of time, and runs of one second have names of their own', () => {
    const at = (ms: number) => new Date(2026, 0, 31, 10, 0, 0, ms).toISOString();
    const shape = timings([result(at(900), 3), result(at(100), 2), result(at(0), 1)]);
    expect(shape.labels).toEqual(['10:00:00', '10:00:00 (2)', '10:00:00 (3)']);
    expect(shape.series[0]?.values).toEqual([1, 2, 3]);
  });

  it('name the day where there are several', () => {
    const at = (day: number) => new Date(2026, 0, day, 10).toISOString();
    expect(timings([result(at(31), 1), result(at(30), 1)]).labels).toEqual(['01-30 10:00:00', '01-31 10:00:00']);
  });
});
