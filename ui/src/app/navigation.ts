// The pages, as the navigation and the palette list them. Groups have room for what later versions bring.

import type { Me } from '../api/contract';
import { may, type Needs } from './me';

export interface PageEntry {
  path: string;
  name: string;
  about: string;
  /** Whom it is for. */
  needs: Needs;
}

interface PageGroup {
  group: string | null;
  pages: PageEntry[];
}

export const PAGES: PageGroup[] = [
  { group: null, pages: [{ path: '/', name: 'Overview', about: 'source, log and warehouse, live', needs: 'all' }] },
  {
    group: 'Data',
    pages: [
      { path: '/tables', name: 'Tables', about: 'rows, state, schema, history', needs: 'role' },
      { path: '/changes', name: 'Changes', about: 'what happens at the source, as it happens', needs: 'all' },
      { path: '/sql', name: 'SQL', about: 'ask the warehouse, now or as of a time', needs: 'sql' },
      { path: '/models', name: 'Models', about: 'the dbt project: graph, code, tests, runs', needs: 'all' },
      { path: '/lineage', name: 'Lineage', about: 'what is made of what', needs: 'all' },
    ],
  },
  {
    group: 'Served',
    pages: [
      { path: '/endpoints', name: 'Endpoints', about: 'what programs ask, and try it', needs: 'role' },
      { path: '/dashboards', name: 'Dashboards', about: 'charts, live', needs: 'role' },
    ],
  },
];

const ALL_PAGES = PAGES.flatMap(({ pages }) => pages);

/** The pages that are for somebody, in their groups. */
export function pagesFor(me: Me | null): PageGroup[] {
  const groups = PAGES.map(({ group, pages }) => ({ group, pages: pages.filter(({ needs }) => may(me, needs)) }));
  return groups.filter(({ pages }) => pages.length > 0);
}

/** The page that an address belongs to. */
export const pageOf = (path: string): PageEntry | undefined => ALL_PAGES.find((page) => isIn(path, page));

export function isIn(path: string, page: PageEntry): boolean {
  return page.path === '/' ? path === '/' : path === page.path || path.startsWith(`${page.path}/`);
}
