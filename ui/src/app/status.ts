// The state of the whole, shared by every page that names it.

import type { Status, Table } from '../api/contract';
import { type Resource, useJson, usePolled } from '../api/resource';
import { useSeesAll } from './me';

/** Names and the shape of a project change rarely; what changes each second comes by the stream. */
const STATUS_SECONDS = 5;

/** Nothing where who looks may not see it. */
export function useStatus(): Resource<Status> {
  return usePolled<Status>(useSeesAll() ? '/api/status' : null, STATUS_SECONDS);
}

/** When the oldest history begins; null while nothing is known. */
export function useHistorySince(): string | null {
  const tables = useJson<Table[]>('/api/tables').data ?? [];
  const begins = tables.map((table) => table.history_since).filter((at) => at !== null);
  return begins.sort()[0] ?? null;
}
