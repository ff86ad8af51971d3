// Requests to endpoints.

import { describe, expect, it } from 'vitest';
import { parseLossless } from '../../data/lossless';
import { complaint, requestPath, tableOf } from './request';

const limit = { name: 'limit', type: 'integer', default: 3, min: 1, max: 100 };
const endpoint = {
  path: '/orders',
  description: null,
  cache_seconds: null,
  live: false,
  file: 'api/orders.sql',
  error: null,
  params: [{ name: 'status', type: 'string', default: 'open' }, limit],
};

describe('a request', () => {
  it('leaves out what is at its default', () => {
    expect(requestPath(endpoint, { status: 'open', limit: '3' })).toBe('/orders');
    expect(requestPath(endpoint, { status: 'a&b', limit: '5' })).toBe('/orders?status=a%26b&limit=5');
  });

  it('says what is wrong before it is sent', () => {
    expect(['', '3', '0', '101', '1.5', 'x'].map((value) => complaint(limit, value))).toEqual([
      null,
      null,
      'is below 1',
      'is above 100',
      'is not a whole number',
      'is not a number',
    ]);
  });
});

describe('an answer', () => {
  it('is a table with every digit', () => {
    const { columns, rows } = tableOf(
      parseLossless('[{"id": 9007199254740993, "a": null}, {"id": 1, "b": {"x": [1]}}]'),
    );
    expect(columns).toEqual([
      { name: 'id', type: 'number' },
      { name: 'a', type: 'text' },
      { name: 'b', type: 'text' },
    ]);
    expect(rows).toEqual([
      ['9007199254740993', null, null],
      ['1', null, '{"x": [1]}'],
    ]);
  });

  it('knows times by their form', () => {
    const { columns } = tableOf(
      parseLossless(
        '[{"d": "2026-01-31", "t": "2026-01-31T10:00:00+00:00", "x": "2026-01-31"}, {"d": null, "x": "no"}]',
      ),
    );
    expect(columns.map(({ type }) => type)).toEqual(['date', 'timestamptz', 'text']);
  });
});
