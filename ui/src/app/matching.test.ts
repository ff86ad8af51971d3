// Finding names by a part of them.

import { describe, expect, it } from 'vitest';
import { rank } from './matching';

const NAMES = [
  'Overview',
  'Changes',
  'analytics.orders',
  'analytics.order_items',
  'operations.products',
  '/orders/product',
];
const found = (typed: string) => rank(typed, NAMES, (name) => name);

describe('the palette', () => {
  it('lists everything while nothing is typed', () => {
    expect(found(' ')).toEqual(NAMES);
  });

  it('puts the whole word first', () => {
    expect(found('orders')[0]).toBe('analytics.orders');
    expect(found('over')[0]).toBe('Overview');
  });

  it('finds the beginnings of words', () => {
    expect(found('oi')[0]).toBe('analytics.order_items');
    expect(found('op')).toContain('operations.products');
  });

  it('finds nothing where letters are missing', () => {
    expect(found('xyz')).toEqual([]);
  });
});
