// Where the nodes of a graph stand: in columns by how far they are from the sources, ordered so that few edges cross.

export interface GraphNode {
  id: string;
  /** What it is, in a word: its colour and its legend go by it. */
  kind: string;
  label: string;
}

export interface Graph<N extends GraphNode = GraphNode> {
  nodes: N[];
  /** From what is read to what reads it. */
  edges: [string, string][];
}

export interface Placed extends GraphNode {
  x: number;
  y: number;
  width: number;
}

export interface Layout {
  nodes: Placed[];
  edges: { from: Placed; to: Placed }[];
  width: number;
  height: number;
}

export const NODE_HEIGHT = 28;
const GAP_X = 72;
const GAP_Y = 14;
/** A letter of the data font at its smallest size, and what stands around the letters. */
const LETTER_WIDTH = 7.3;
const PADDING = 28;
const WIDTH_MIN = 90;
/** Between the parts of a layer that is too tall for one column. */
const GAP_PART = 14;
/** A layer of so many nodes still is one column, whatever the size of the whole. */
const ROWS_MIN = 24;
/** Longer names are cut: a column as wide as its longest would push the others out of sight. */
export const LETTERS_MAX = 42;
/** Each pass halves what is left to gain; past six nothing is seen to change. */
const PASSES = 6;

interface Ways {
  into: Map<string, string[]>;
  outOf: Map<string, string[]>;
}

export function waysOf({ nodes, edges }: Graph): Ways {
  const known = new Set(nodes.map(({ id }) => id));
  const into = new Map<string, string[]>(nodes.map(({ id }) => [id, []]));
  const outOf = new Map<string, string[]>(nodes.map(({ id }) => [id, []]));
  for (const [from, to] of edges) {
    if (!known.has(from) || !known.has(to) || from === to) continue;
    outOf.get(from)?.push(to);
    into.get(to)?.push(from);
  }
  return { into, outOf };
}

/** The longest way from a source to each node; in a circle, which no project should have, the way ends where it began. */
export function columnsOf(graph: Graph): Map<string, number> {
  const { into, outOf } = waysOf(graph);
  const columns = new Map<string, number>();
  const open = new Map([...into].map(([id, from]) => [id, from.length]));
  let ready = [...open].filter(([, count]) => count === 0).map(([id]) => id);
  for (const id of ready) columns.set(id, 0);
  while (ready.length > 0) {
    const next: string[] = [];
    for (const id of ready) {
      for (const to of outOf.get(id) ?? []) {
        columns.set(to, Math.max(columns.get(to) ?? 0, (columns.get(id) ?? 0) + 1));
        const left = (open.get(to) ?? 0) - 1;
        open.set(to, left);
        if (left === 0) next.push(to);
      }
    }
    ready = next;
  }
  for (const { id } of graph.nodes) if (!columns.has(id)) columns.set(id, 0);
  return columns;
}

/** Everything that leads to a node and everything that it leads to, itself included. */
export function connected(graph: Graph, id: string): Set<string> {
  const { into, outOf } = waysOf(graph);
  const found = new Set([id]);
  for (const way of [into, outOf]) {
    const open = [id];
    for (let one = open.pop(); one !== undefined; one = open.pop()) {
      for (const next of way.get(one) ?? []) {
        if (found.has(next)) continue;
        found.add(next);
        open.push(next);
      }
    }
  }
  return found;
}

export function part<N extends GraphNode>(graph: Graph<N>, ids: ReadonlySet<string>): Graph<N> {
  return {
    nodes: graph.nodes.filter(({ id }) => ids.has(id)),
    edges: graph.edges.filter(([from, to]) => ids.has(from) && ids.has(to)),
  };
}

function average(numbers: number[]): number | null {
  return numbers.length === 0 ? null : numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
}

export function layoutOf(graph: Graph): Layout {
  const columns = columnsOf(graph);
  const { into, outOf } = waysOf(graph);
  const layers: GraphNode[][] = [];
  for (const node of [...graph.nodes].sort((a, b) => a.label.localeCompare(b.label))) {
    const column = columns.get(node.id) ?? 0;
    const layer = layers[column] ?? [];
    layers[column] = layer;
    layer.push(node);
  }
  const rank = new Map<string, number>();
  const number = (layer: GraphNode[]) =>
    layer.forEach((node, at) => {
      rank.set(node.id, (at + 0.5) / layer.length);
    });
  for (const layer of layers) if (layer) number(layer);
  for (let pass = 0; pass < PASSES; pass += 1) {
    const forward = pass % 2 === 0;
    for (const layer of forward ? layers : [...layers].reverse()) {
      if (!layer) continue;
      const wish = new Map(
        layer.map((node) => {
          const near = (forward ? into : outOf).get(node.id) ?? [];
          return [node.id, average(near.map((id) => rank.get(id) ?? 0)) ?? rank.get(node.id) ?? 0];
        }),
      );
      layer.sort((a, b) => (wish.get(a.id) ?? 0) - (wish.get(b.id) ?? 0));
      number(layer);
    }
  }
  // Hundreds of nodes in a layer would be a line of dust: the whole is kept about as high as it is wide.
  const rowsMax = Math.max(ROWS_MIN, Math.ceil(Math.sqrt(graph.nodes.length * 3)));
  const tallest = Math.max(1, ...layers.map((layer) => Math.min(rowsMax, layer?.length ?? 0)));
  const height = tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y;
  const placed = new Map<string, Placed>();
  let x = 0;
  for (const layer of layers) {
    if (!layer) continue;
    const parts = Math.ceil(layer.length / rowsMax);
    const rows = Math.ceil(layer.length / parts);
    const own = rows * (NODE_HEIGHT + GAP_Y) - GAP_Y;
    for (let from = 0; from < layer.length; from += rows) {
      const some = layer.slice(from, from + rows);
      const letters = Math.max(...some.map(({ label }) => Math.min(LETTERS_MAX, label.length)));
      const width = Math.max(WIDTH_MIN, Math.round(letters * LETTER_WIDTH + PADDING));
      some.forEach((node, at) => {
        placed.set(node.id, { ...node, x, y: (height - own) / 2 + at * (NODE_HEIGHT + GAP_Y), width });
      });
      x += width + GAP_PART;
    }
    x += GAP_X - GAP_PART;
  }
  const edges = graph.edges.flatMap(([from, to]) => {
    const ends = [placed.get(from), placed.get(to)];
    return ends[0] && ends[1] ? [{ from: ends[0], to: ends[1] }] : [];
  });
  return { nodes: [...placed.values()], edges, width: Math.max(WIDTH_MIN, x - GAP_X), height };
}
