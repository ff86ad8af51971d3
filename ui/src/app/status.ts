// The state of the whole, shared by every page that names it.

import type { Status } from '../api/contract';
import { type Resource, usePolled } from '../api/resource';

/** Names and the shape of a project change rarely; what changes each second comes by the stream. */
const STATUS_SECONDS = 5;

export function useStatus(): Resource<Status> {
  return usePolled<Status>('/api/status', STATUS_SECONDS);
}

/** When the oldest history begins; null while nothing is known. */
export function useHistorySince(): string | null {
  const tables = useStatus().data?.tables ?? [];
  const begins = tables.map((table) => table.history_since).filter((at) => at !== null);
  return begins.sort()[0] ?? null;
}
