// What was asked for and what came live, put together.

import { describe, expect, it } from 'vitest';
import { type ChangeEvent, parseEvent } from '../../data/debezium';
import { merge } from './tail';

function event(id: number, order: number): ChangeEvent {
  const text = `{"op":"c","after":{},"source":{"schema":"s","table":"t","lsn":1},"transaction":{"id":"9:9","total_order":${order}}}`;
  const found = parseEvent(text, id);
  if (found === null) throw new Error('not an event');
  return found;
}

describe('the tail', () => {
  it('shows an event once, though it was asked for and came live', () => {
    const live = [event(0, 3), event(1, 4)];
    const asked = [event(-1, 1), event(-2, 2), event(-3, 3)];
    expect(merge(live, asked, 0).map(({ order }) => order)).toEqual(['1', '2', '3', '4']);
  });

  it('fills what was missed while the connection was lost, in its place', () => {
    const before = [event(0, 1), event(1, 2)];
    const since = [event(2, 5)];
    const asked = [event(-1, 2), event(-2, 3), event(-3, 4), event(-4, 5)];
    expect(merge([...before, ...since], asked, 2).map(({ order }) => order)).toEqual(['1', '2', '3', '4', '5']);
  });
});
