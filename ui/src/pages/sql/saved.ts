// Queries that a person keeps in this browser, beside those of the project.

import { recall, remember } from '../../app/memory';

export interface SavedQuery {
  name: string;
  sql: string;
}

const KEY = 'queries';
/** More than a list can be looked through. */
const SAVED_MAX = 200;

export function savedQueries(): SavedQuery[] {
  try {
    const kept: unknown = JSON.parse(recall(KEY) ?? '[]');
    if (!Array.isArray(kept)) return [];
    return kept.filter(
      (one): one is SavedQuery =>
        typeof one === 'object' && one !== null && typeof one.name === 'string' && typeof one.sql === 'string',
    );
  } catch {
    return [];
  }
}

/** Keeps a query under a name, in place of the one that had it. */
export function saveQuery(query: SavedQuery): SavedQuery[] {
  const others = savedQueries().filter(({ name }) => name !== query.name);
  const all = [...others, query].sort((a, b) => a.name.localeCompare(b.name)).slice(0, SAVED_MAX);
  remember(KEY, JSON.stringify(all));
  return all;
}

export function dropQuery(name: string): SavedQuery[] {
  const all = savedQueries().filter((query) => query.name !== name);
  remember(KEY, JSON.stringify(all));
  return all;
}
