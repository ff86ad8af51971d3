// Columns, connections and places of a graph.

import { describe, expect, it } from 'vitest';
import { columnsOf, connected, type Graph, layoutOf, part } from './layout';

const node = (id: string) => ({ id, label: id, kind: 'model' });
const graph: Graph = {
  nodes: ['s', 'a', 'b', 'c', 'alone'].map(node),
  edges: [
    ['s', 'a'],
    ['a', 'b'],
    ['s', 'b'],
    ['b', 'c'],
    ['gone', 'c'],
  ],
};

describe('a graph', () => {
  it('stands in columns by the longest way from a source', () => {
    expect(Object.fromEntries(columnsOf(graph))).toEqual({ s: 0, a: 1, b: 2, c: 3, alone: 0 });
  });

  it('ends where it goes in a circle', () => {
    const circle: Graph = {
      nodes: ['a', 'b'].map(node),
      edges: [
        ['a', 'b'],
        ['b', 'a'],
      ],
    };
    expect(layoutOf(circle).nodes).toHaveLength(2);
  });

  it('is cut to what is connected', () => {
    const ids = connected(graph, 'a');
    expect([...ids].sort()).toEqual(['a', 'b', 'c', 's']);
    expect(part(graph, new Set(['s', 'a'])).edges).toEqual([['s', 'a']]);
  });

  it('of a thousand nodes is laid out before anybody waits, and none covers another', () => {
    const nodes = Array.from({ length: 1000 }, (_, at) => node(`n${at}`));
    const edges = nodes.slice(50).flatMap((_, at): [string, string][] => [
      [`n${at}`, `n${at + 50}`],
      [`n${(at * 7) % (at + 50)}`, `n${at + 50}`],
    ]);
    const began = performance.now();
    const layout = layoutOf({ nodes, edges });
    expect(performance.now() - began).toBeLessThan(1000);
    expect(new Set(layout.nodes.map(({ x, y }) => `${x} ${y}`)).size).toBe(1000);
  });
});
