// The dbt project as the server knows it, and which of its relations are in the warehouse, so that links to their rows lead somewhere.

import { useEffect, useMemo, useRef } from 'react';
import type { Model, ModelNode, Models, Table } from '../../api/contract';
import { type Resource, useJson, usePolled } from '../../api/resource';
import { folded } from './nodes';

/** A build is over in a moment; what it did is to be seen soon after. */
const AGAIN_SECONDS = 5;

export const useProject = (): Resource<Models> => usePolled<Models>('/api/models', AGAIN_SECONDS);

export const useModel = (id: string): Resource<Model> =>
  usePolled<Model>(`/api/models/${encodeURIComponent(id)}`, AGAIN_SECONDS);

/** `run` is the last run that is known of: another one may have made relations. */
export function useIsThere(run: string | undefined): (node: ModelNode) => boolean {
  const { data: tables, reload } = useJson<Table[]>('/api/tables');
  const known = useRef(run);
  useEffect(() => {
    if (known.current !== run && known.current !== undefined) reload();
    known.current = run;
  }, [run, reload]);
  return useMemo(() => {
    const names = new Set(tables?.map(({ warehouse }) => folded(warehouse)));
    return ({ relation }) => relation !== null && names.has(folded(relation));
  }, [tables]);
}
