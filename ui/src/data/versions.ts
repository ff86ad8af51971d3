// What changed from one version of a row to the next.

import type { Cell, RowHistory, Version } from '../api/contract';

export interface Difference {
  column: string;
  type: string;
  before: Cell;
  after: Cell;
}

export interface Step {
  version: Version;
  /** Only what changed; for the first version of a life, everything that has a value. */
  differences: Difference[];
  /** The row did not exist right before: there is no old value to show. */
  opens: boolean;
  /** An event with an empty interval, such as a delete. */
  closes: boolean;
}

export function stepsOf(history: RowHistory): Step[] {
  let before: Version | null = null;
  return history.versions.map((version) => {
    const closes = version.operation === 'DELETE' || version.operation === 'TRUNCATE';
    const last = before;
    const opens = last === null;
    const differences = closes
      ? []
      : history.columns.flatMap((column, at): Difference[] => {
          const old = last === null ? null : (last.values[at] ?? null);
          const now = version.values[at] ?? null;
          return old === now ? [] : [{ column: column.name, type: column.type, before: old, after: now }];
        });
    before = closes ? null : version;
    return { version, differences, opens, closes };
  });
}

/** How often each column changed after the row was first seen, most often first. */
export function volatility(steps: Step[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const step of steps) {
    if (step.opens) continue;
    for (const { column } of step.differences) counts.set(column, (counts.get(column) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}
