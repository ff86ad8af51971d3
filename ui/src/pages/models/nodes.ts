// What the list and the graph of a dbt project say about its nodes: how each stands, which pass the filters, in which order.

import type { Model, ModelNode, ProjectRun, TestCounts } from '../../api/contract';
import { score } from '../../app/matching';
import { comparing, type Sort } from '../../data/SortHead';
import { plural, printCount } from '../../format/quantity';
import type { Mark } from '../../graph/Drawing';
import type { Graph } from '../../graph/layout';

/** How a status reads: amber and red are for trouble alone. */
export type Level = 'good' | 'amber' | 'red' | '';

const LEVELS: Record<string, Level> = {
  success: 'good',
  pass: 'good',
  warn: 'amber',
  skipped: 'amber',
  'partial success': 'amber',
  fail: 'red',
  error: 'red',
  'runtime error': 'red',
};

export const levelOf = (status: string): Level => LEVELS[status] ?? '';

/** Resources in the order of what is made of what. */
export const KINDS = ['source', 'seed', 'model', 'snapshot', 'exposure'];

/** As its page is called: a version, and a source with its table, tell nodes of one name apart. */
export const titleOf = ({ id, name }: Pick<ModelNode, 'id' | 'name'>): string =>
  id.split('.').slice(2).join('.') || name;

/** What a node is called that the project no longer has, or that is not known yet. */
export const titleOfId = (id: string): string => titleOf({ id, name: id });

/** Whether it becomes something in the warehouse. */
export const isBuilt = ({ resource, materialized }: ModelNode): boolean =>
  ['model', 'seed', 'snapshot'].includes(resource) && materialized !== 'ephemeral';

const failedTests = ({ fail, error }: TestCounts): number => fail + error;

export const notRun = ({ total, pass, warn, fail, error, skipped }: TestCounts): number =>
  Math.max(0, total - pass - warn - fail - error - skipped);

/** What is wrong with a node: its own failure first, then what its tests found. */
export function troubleOf({ last, tests }: Pick<ModelNode, 'last' | 'tests'>): Mark | null {
  const level = last ? levelOf(last.status) : '';
  const failed = failedTests(tests);
  if (last && level === 'red') return { level, says: last.status };
  if (failed > 0) return { level: 'red', says: `${plural(failed, 'test')} failed` };
  if (last && level === 'amber') return { level, says: last.status };
  return tests.warn > 0 ? { level: 'amber', says: `${plural(tests.warn, 'test')} warned` } : null;
}

export function marksOf(nodes: ModelNode[]): Map<string, Mark> {
  return new Map(
    nodes.flatMap((node): [string, Mark][] => {
      const trouble = troubleOf(node);
      return trouble ? [[node.id, trouble]] : [];
    }),
  );
}

export function graphOf(nodes: ModelNode[]): Graph {
  return {
    nodes: nodes.map((node) => ({ id: node.id, kind: node.resource, label: titleOf(node) })),
    edges: nodes.flatMap(({ id, parents }) => parents.map((parent): [string, string] => [parent, id])),
  };
}

/** Changes when another graph is to be drawn, and not when a node was only built again. */
export const shapeOf = (nodes: ModelNode[]): string =>
  nodes.map(({ id, parents }) => `${id} ${parents.join(' ')}`).join('\n');

/** The nodes, and those that they read or that read them. */
export function withNeighbours(nodes: ModelNode[], some: ReadonlySet<string>): Set<string> {
  const found = new Set(some);
  for (const { id, parents } of nodes) {
    if (some.has(id)) for (const parent of parents) found.add(parent);
    else if (parents.some((parent) => some.has(parent))) found.add(id);
  }
  return found;
}

/** A relation's name as the warehouse compares it. */
export const folded = ({ schema, name }: { schema: string; name: string }): string =>
  JSON.stringify([schema, name]).toLowerCase();

/** The node that a table or view of the warehouse was built from. */
export function builtAs(nodes: ModelNode[] | undefined, schema: string, name: string): ModelNode | undefined {
  const wanted = folded({ schema, name });
  return nodes?.find((node) => isBuilt(node) && node.relation !== null && folded(node.relation) === wanted);
}

/** What the status filter offers: its word in the address, its name, and who passes. */
export const STATES: readonly [string, string, (node: ModelNode) => boolean][] = [
  ['trouble', 'with trouble', (node) => troubleOf(node) !== null],
  ['built', 'built', ({ last }) => last !== null && levelOf(last.status) === 'good'],
  ['failed', 'failed', ({ last }) => last !== null && levelOf(last.status) === 'red'],
  ['skipped', 'skipped', ({ last }) => last?.status === 'skipped'],
  ['tests', 'with failed tests', ({ tests }) => failedTests(tests) > 0],
  ['never', 'never built', (node) => node.last === null && isBuilt(node)],
];

export interface NodeFilters {
  find: string;
  resource: string | null;
  materialized: string | null;
  tag: string | null;
  state: string | null;
}

export function filtersOf(query: URLSearchParams): NodeFilters {
  return {
    find: query.get('find') ?? '',
    resource: query.get('resource'),
    materialized: query.get('materialized'),
    tag: query.get('tag'),
    state: query.get('status'),
  };
}

export const isFiltered = ({ find, resource, materialized, tag, state }: NodeFilters): boolean =>
  find.trim() !== '' || [resource, materialized, tag, state].some((one) => one !== null);

/** Sources and exposures are in the graph; in the list they are where they are asked for. */
function passes(node: ModelNode, { resource, materialized, tag, state }: NodeFilters): boolean {
  const wanted = resource === null ? ['model', 'seed', 'snapshot'].includes(node.resource) : node.resource === resource;
  const stands = STATES.find(([word]) => word === state)?.[2];
  return (
    wanted &&
    (materialized === null || node.materialized === materialized) &&
    (tag === null || node.tags.includes(tag)) &&
    (stands?.(node) ?? true)
  );
}

export const SORTS = ['name', 'last', 'seconds'] as const;
export type SortBy = (typeof SORTS)[number];

function sortValue(node: ModelNode, by: SortBy): string | number {
  switch (by) {
    case 'name':
      return titleOf(node);
    case 'last':
      return node.last?.at ?? '';
    case 'seconds':
      return node.last?.seconds ?? -1;
  }
}

/** Those that pass, sorted; where a name is looked for, those that contain it before those that have its letters. */
export function listed(nodes: ModelNode[], filters: NodeFilters, sort: Sort<SortBy>): ModelNode[] {
  const some = nodes.filter((node) => passes(node, filters));
  const typed = filters.find.trim().toLowerCase();
  const order = comparing((node: ModelNode) => sortValue(node, sort.by), sort.descending);
  if (typed === '') return some.sort(order);
  const words = (node: ModelNode) => `${titleOf(node)} ${node.description}`.toLowerCase();
  const holding = some.filter((node) => words(node).includes(typed));
  if (holding.length > 0) return holding.sort(order);
  return some.filter((node) => score(typed, titleOf(node)) !== null).sort(order);
}

/** The values that a filter can have, as they are in the project. */
export function choicesOf(nodes: ModelNode[], valuesOf: (node: ModelNode) => (string | null)[]): string[] {
  const found = new Set(nodes.flatMap(valuesOf).filter((one) => one !== null));
  return [...found].sort();
}

/** What went wrong, of one and of several. */
const WRONG: Record<string, [string, string]> = {
  error: ['error', 'errors'],
  'runtime error': ['error', 'errors'],
  fail: ['failed test', 'failed tests'],
  warn: ['warning', 'warnings'],
  skipped: ['skipped', 'skipped'],
};

export interface Told {
  level: Level;
  text: string;
}

/** What a run came to: what went wrong, the worst first, and all else in one number. */
export function toldOf({ counts }: ProjectRun): Told[] {
  const entries = Object.entries(counts).filter((entry): entry is [string, number] => (entry[1] ?? 0) > 0);
  const wrong = entries.flatMap(([status, count]): Told[] => {
    const words = WRONG[status];
    return words === undefined ? [] : [{ level: levelOf(status), text: plural(count, ...words) }];
  });
  const right = entries.filter(([status]) => !(status in WRONG)).reduce((sum, [, count]) => sum + count, 0);
  return [
    ...wrong.filter(({ level }) => level === 'red'),
    ...wrong.filter(({ level }) => level !== 'red'),
    ...(right > 0 ? [{ level: '' as const, text: `${printCount(right)} ok` }] : []),
  ];
}

/** Why a node was skipped: what failed of all that it is made of. */
export function culprits(nodes: ModelNode[], id: string): ModelNode[] {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const found: ModelNode[] = [];
  const seen = new Set([id]);
  const open = [id];
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    for (const parent of known.get(one)?.parents ?? []) {
      if (seen.has(parent)) continue;
      seen.add(parent);
      open.push(parent);
      const node = known.get(parent);
      if (node && troubleOf(node)?.level === 'red') found.push(node);
    }
  }
  return found;
}

/** Failing ones first. */
export function checksInOrder({ checks }: Model): Model['checks'] {
  const weight: Record<Level, number> = { red: 0, amber: 1, '': 2, good: 3 };
  const levelNow = ({ history: [newest] }: Model['checks'][number]): Level => (newest ? levelOf(newest.status) : '');
  return [...checks].sort((a, b) => weight[levelNow(a)] - weight[levelNow(b)] || a.name.localeCompare(b.name));
}
