import { describe, expect, it } from 'vitest';
import type { RunNode } from '../../api/contract';
import { addressOf, msOf, nameOf, spansOf, statusesOf, wrongOf } from './runs';

const node = (name: string, status: RunNode['status'], second: string, seconds = 1): RunNode => ({
  id: `model.shop.${name}`,
  resource: 'model',
  name,
  about: null,
  status,
  at: `2026-01-31T10:00:${second}Z`,
  seconds,
  failures: null,
  rows: null,
  message: null,
});

describe('a run', () => {
  it('has its nodes where they lie in its time, to the microsecond', () => {
    expect(msOf('2026-01-31T10:00:00.000250Z') - msOf('2026-01-31T10:00:00Z')).toBeCloseTo(0.25);
    const nodes = [node('a', 'success', '00.000500', 0.0005), node('b', 'success', '02.5', 1)];
    const { whole, of } = spansOf({ at: '2026-01-31T10:00:00Z', seconds: 4, nodes });
    expect(whole).toBe(4);
    const [a, b] = nodes.map(of);
    expect(a?.from).toBeCloseTo(0.000125);
    expect(a?.width).toBeCloseTo(0.000125);
    expect(b).toEqual({ began: 2.5, from: 0.625, width: 0.25 });
  });

  it('is as long as its last node, and begins with its first', () => {
    const nodes = [node('a', 'success', '00', 9)];
    const { whole, of } = spansOf({ at: '2026-01-31T10:00:01Z', seconds: 1, nodes });
    expect([whole, nodes.map(of)[0]?.from]).toEqual([8, 0]);
  });

  it('tells first what could not be built, then failed tests, then warnings; of skipped ones nothing', () => {
    const nodes = [
      node('w', 'warn', '00'),
      node('f', 'fail', '01'),
      node('s', 'skipped', '02'),
      node('e', 'error', '03'),
      node('g', 'success', '04'),
    ];
    expect(wrongOf(nodes).map(({ name }) => name)).toEqual(['e', 'f', 'w']);
    expect(statusesOf([...nodes, node('h', 'success', '05')]).at(-1)).toEqual(['success', 2]);
  });

  it('leads to nodes, to tests on the page of what they are of, and nowhere once they are gone', () => {
    const test = { ...node('t', 'pass', '00'), id: 'test.shop.unique_a.1f', name: 'unique_a', about: ['model.shop.a'] };
    expect(addressOf(test)).toBe('/models/model.shop.a?tab=tests&check=test.shop.unique_a.1f');
    expect(nameOf(test)).toBe('unique_a');
    expect(addressOf(node('a', 'pass', '00'))).toBe('/models/model.shop.a');
    expect(addressOf({ ...node('a', 'pass', '00'), resource: null, name: null })).toBeNull();
  });
});
