// When the nodes of a run began and how long each took, as parts of the whole; and which of them are shown.

import type { RunDetail, RunNode } from '../../api/contract';
import { modelAddress } from '../../app/addresses';
import { parseInstant } from '../../format/time';
import { type Level, levelOf, titleOfId } from './nodes';

/** With the microseconds that were sent: a Date has none, and a small node takes no longer. */
export function msOf(at: string): number {
  const instant = parseInstant(at);
  if (instant === null) return 0;
  return Math.floor(instant.ms / 1000) * 1000 + Number(`0${instant.fraction}`) * 1000;
}

export interface Span {
  /** Seconds from where the run began. */
  began: number;
  /** Of the width of the whole, from 0 to 1. */
  from: number;
  width: number;
}

/** Where a node lies in its run; clocks may have been set meanwhile, and nothing lies outside. */
export function spansOf(run: Pick<RunDetail, 'at' | 'seconds' | 'nodes'>): {
  whole: number;
  of: (node: RunNode) => Span;
} {
  const start = msOf(run.at);
  const ends = run.nodes.map(({ at, seconds }) => (msOf(at) - start) / 1000 + seconds);
  const whole = ends.reduce((most, end) => Math.max(most, end), Math.max(run.seconds, 0.001));
  const of = ({ at, seconds }: RunNode): Span => {
    const began = Math.max(0, (msOf(at) - start) / 1000);
    return { began, from: began / whole, width: Math.min(seconds, whole - began) / whole };
  };
  return { whole, of };
}

/** What a person looks for in a run: what could not be built before what a test found, and that before what only warned. What was skipped for them is no news of its own. */
export function wrongOf(nodes: RunNode[]): RunNode[] {
  const at = (level: Level) => nodes.filter(({ status }) => status !== 'skipped' && levelOf(status) === level);
  const red = at('red');
  const isFailed = ({ status }: RunNode) => status === 'fail';
  return [...red.filter((node) => !isFailed(node)), ...red.filter(isFailed), ...at('amber')];
}

/** How many ended with each status, in the order of what to look at first. */
export function statusesOf(nodes: RunNode[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { status } of nodes) counts.set(status, (counts.get(status) ?? 0) + 1);
  const weight: Record<Level, number> = { red: 0, amber: 1, '': 2, good: 3 };
  return [...counts].sort(([a], [b]) => weight[levelOf(a)] - weight[levelOf(b)] || a.localeCompare(b));
}

export const nameOf = ({ id, name, about }: RunNode): string => (about !== null && name ? name : titleOfId(id));

/** A test is on the page of what it is of; null: the project has neither any more. */
export function addressOf({ id, resource, about }: RunNode): string | null {
  if (resource === null) return null;
  if (about === null) return modelAddress(id);
  const [of] = about;
  return of === undefined ? null : modelAddress(of, { tab: 'tests', check: id });
}
