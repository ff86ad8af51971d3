// Who looks, and what the pages may show them.

import { createContext, useContext } from 'react';
import type { Me } from '../api/contract';

export const MeContext = createContext<Me | null>(null);

export const useMe = (): Me | null => useContext(MeContext);

/** What a page needs: the whole project, questions in SQL, or nothing beyond a role. */
export type Needs = 'all' | 'sql' | 'role';

/** A server that does not say who looks is away, and says so on the pages themselves. */
export function may(me: Me | null, needs: Needs): boolean {
  if (me === null || needs === 'role') return true;
  return needs === 'all' ? me.admin : me.sql;
}

/** Whether they see the whole project: its state, and what is before any role's rows and masks. */
export const useSeesAll = (): boolean => may(useMe(), 'all');

/** Whether they may ask in SQL. */
export const useAsksSql = (): boolean => may(useMe(), 'sql');
