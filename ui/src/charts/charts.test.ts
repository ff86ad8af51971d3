// From rows to shapes and round numbers.

import { describe, expect, it } from 'vitest';
import { slicesOf } from './Pie';
import { linePath, printTick, ticks } from './scale';
import { guessAxes, kindsFor, largest, shapeOf } from './shape';

const columns = [
  { name: 'day', type: 'DATE' },
  { name: 'status', type: 'VARCHAR' },
  { name: 'orders', type: 'BIGINT' },
];
const rows = [
  ['2026-11-20', 'OPEN', '3'],
  ['2026-11-20', 'PENDING', '2'],
  ['2026-11-21', 'OPEN', '4'],
  ['2026-11-21', 'OPEN', null],
];

describe('a shape', () => {
  it('has series by colour, and gaps where a series has no value', () => {
    const shape = shapeOf(columns, rows, { x: 'day', y: 'orders', color: 'status' });
    expect(shape.labels).toEqual(['2026-11-20', '2026-11-21']);
    expect(shape.series).toEqual([
      { name: 'OPEN', values: [3, 4] },
      { name: 'PENDING', values: [2, null] },
    ]);
    expect(shape.temporal).toBe(true);
    expect([largest(shape, false), largest(shape, true)]).toEqual([4, 5]);
  });

  it('is guessed where nothing is said', () => {
    expect(guessAxes(columns)).toEqual({ x: 'day', y: 'orders', color: 'status' });
    expect(kindsFor([{ name: 'count', type: 'BIGINT' }], [['1']])).toEqual(['number', 'table']);
    expect(kindsFor(columns.slice(0, 2), rows)).toEqual(['table']);
  });

  it('sums what has no colour left', () => {
    const many = Array.from({ length: 12 }, (_, at) => ['x', `s${at}`, '1']);
    const shape = shapeOf(columns, many, { x: 'day', y: 'orders', color: 'status' });
    expect(shape.series.map(({ name }) => name)).toContain('others');
    expect(shape.series.reduce((sum, { values }) => sum + (values[0] ?? 0), 0)).toBe(12);
  });
});

describe('an axis', () => {
  it('names round numbers around the values', () => {
    expect(ticks(0, 97, 4)).toEqual([0, 50, 100]);
    expect(ticks(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticks(5, 5, 4).length).toBeGreaterThan(1);
    expect([0, 950, 1200, 2.5e6].map(printTick)).toEqual(['0', '950', '1.2k', '2.5M']);
  });
});

describe('lines and slices', () => {
  it('break where nothing is known', () => {
    expect(linePath([[0, 0], [1, 1], null, [3, 3]])).toBe('M0.0,0.0L1.0,1.0M3.0,3.0');
  });

  it('keep the largest shares and sum the others', () => {
    const shape = shapeOf(
      columns,
      Array.from({ length: 20 }, (_, at) => [`d${at}`, '', String(at)]),
      { x: 'day', y: 'orders' },
    );
    const slices = slicesOf(shape);
    expect(slices).toHaveLength(8);
    expect(slices.at(-1)).toEqual({ label: 'others', value: 78 });
  });
});
