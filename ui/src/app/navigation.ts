// The pages, as the navigation and the palette list them. Groups have room for what later versions bring.

export interface PageEntry {
  path: string;
  name: string;
  about: string;
}

export const PAGES: { group: string | null; pages: PageEntry[] }[] = [
  { group: null, pages: [{ path: '/', name: 'Overview', about: 'source, log and warehouse, live' }] },
  {
    group: 'Data',
    pages: [
      { path: '/tables', name: 'Tables', about: 'rows, state, schema, history' },
      { path: '/changes', name: 'Changes', about: 'what happens at the source, as it happens' },
      { path: '/sql', name: 'SQL', about: 'ask the warehouse, now or as of a time' },
      { path: '/lineage', name: 'Lineage', about: 'what is made of what' },
    ],
  },
  {
    group: 'Served',
    pages: [
      { path: '/endpoints', name: 'Endpoints', about: 'what programs ask, and try it' },
      { path: '/dashboards', name: 'Dashboards', about: 'charts, live' },
    ],
  },
];

export const ALL_PAGES = PAGES.flatMap(({ pages }) => pages);

export function isIn(path: string, page: PageEntry): boolean {
  return page.path === '/' ? path === '/' : path === page.path || path.startsWith(`${page.path}/`);
}
