// Rates from counters, and troubles in their place.

import { describe, expect, it } from 'vitest';
import type { Sample, Status, TableStatus } from '../../api/contract';
import { commitAge, flowOf, rowsRate, streamWidth, wheelSpeed } from './flow';
import { placeOf, troublesOf } from './trouble';

function sample(second: number, change: Partial<Sample> = {}): Sample {
  return {
    at: new Date(Date.UTC(2026, 10, 21, 12, 0, second)).toISOString(),
    state: 'streaming',
    current_lsn: '0/2000000',
    flushed_lsn: '0/2000000',
    applied_lsn: '0/2000000',
    lag_bytes: 0,
    lag_seconds: 0,
    wal_retained_bytes: 0,
    waiting_bytes: 0,
    log_bytes: 1e6,
    log_bytes_max: 50e9,
    rows_applied: 0,
    transactions_applied: 0,
    error: null,
    ...change,
  };
}

const table = (change: Partial<TableStatus>): TableStatus => ({
  name: 'operations.orders',
  warehouse_name: 'analytics.orders',
  state: 'live',
  reason: null,
  rows: 1,
  history_rows: 1,
  history_since: null,
  applied_lsn: null,
  applied_at: null,
  uncertain: [],
  quarantined: 0,
  broken_dependents: [],
  ...change,
});

const status = (change: Partial<Status>): Status => ({
  name: 'finance',
  state: 'streaming',
  reason: null,
  source: {
    address: '',
    slot: '',
    publication: '',
    current_lsn: null,
    flushed_lsn: null,
    lag_bytes: 0,
    lag_seconds: 0,
    wal_retained_bytes: 0,
  },
  log: { first_position: null, last_position: null, bytes: 0, bytes_max: 50e9 },
  warehouse: { applied_lsn: null, bytes: 0, rebuilt: null },
  tables: [],
  error: null,
  ...change,
});

describe('the flow', () => {
  it('is what counters and positions rose by', () => {
    const samples = Array.from({ length: 10 }, (_, second) =>
      sample(second, {
        rows_applied: second * 200,
        flushed_lsn: `0/${(0x1000000 + second * 1000).toString(16)}`,
        applied_lsn: '0/1000000',
        waiting_bytes: second * 1000,
      }),
    );
    expect(flowOf(samples)).toEqual({
      captureBytes: 1000,
      applyBytes: 0,
      rows: 200,
      transactions: 0,
      waitingBytes: 9000,
    });
    expect(rowsRate(samples).map(({ value }) => value)[9]).toBe(200);
  });

  it('is nothing where nothing moved or the process is new', () => {
    expect(flowOf([])).toMatchObject({ rows: 0 });
    expect(flowOf([sample(0, { rows_applied: 900 }), sample(1, { rows_applied: 5 })]).rows).toBe(0);
    expect(streamWidth(0)).toBe(0);
    expect(wheelSpeed(0)).toBe(0);
  });

  it('knows how long ago the last commit came', () => {
    const positions = ['0/1', '0/2', '0/2', '0/2', '0/3'];
    const ages = commitAge(positions.map((applied_lsn, second) => sample(second, { applied_lsn })));
    expect(ages.map(({ value }) => value)).toEqual([null, 0, 1, 2, 0]);
  });
});

describe('troubles', () => {
  it('are none when all is well', () => {
    expect(troublesOf(status({ tables: [table({})] }), sample(0))).toEqual([]);
  });

  it('stand where their code comes from', () => {
    expect(['MS2303', 'MS3101', 'MS4001', 'MS5200', 'MS6001'].map(placeOf)).toEqual([
      'source',
      'log',
      'warehouse',
      'warehouse',
      'warehouse',
    ]);
  });

  it('are over when the newer sample says so', () => {
    const error = { code: 'MS2002', message: 'no server answered', detail: null, hint: null };
    expect(troublesOf(status({ error }), sample(0))).toEqual([]);
    expect(troublesOf(status({}), sample(0, { state: 'error', error }))).toMatchObject([
      { place: 'source', severity: 'red' },
    ]);
  });

  it('name the command that mends a table', () => {
    const found = troublesOf(
      status({ tables: [table({ state: 'needs_resync', quarantined: 1, broken_dependents: ['analytics.v'] })] }),
      sample(0),
    );
    expect(found.map(({ command, hint }) => command ?? hint)).toEqual([
      'millstream resync operations.orders',
      'millstream quarantine list operations.orders',
      'Change their SELECT in models/ to the columns that the table has now.',
    ]);
  });

  it('say when the log nears its bound', () => {
    expect(troublesOf(status({}), sample(0, { log_bytes: 41e9 }))).toMatchObject([{ place: 'log', severity: 'amber' }]);
    expect(troublesOf(status({}), sample(0, { log_bytes: 50e9 }))).toMatchObject([{ place: 'log', severity: 'red' }]);
  });
});
