// Every page in the state in which it is pictured.

const SQL = encodeURIComponent(
  'SELECT status, count(*) AS orders\nFROM analytics.orders\nGROUP BY status\nORDER BY 2 DESC',
);

export const PAGES = [
  { name: 'overview', path: '/' },
  { name: 'overview-error', path: '/', scene: 'error' },
  { name: 'overview-resync', path: '/', scene: 'resync' },
  { name: 'overview-empty', path: '/', scene: 'empty' },
  { name: 'login', path: '/', scene: 'locked' },
  { name: 'tables', path: '/tables', scene: 'resync' },
  {
    name: 'table',
    path: '/tables/analytics/orders?order=order_id.desc&filter=status.eq.PENDING',
    prepare: async (page) => {
      await page.locator('.grid').focus();
      for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowRight']) await page.keyboard.press(key);
    },
  },
  { name: 'schema', path: '/tables/analytics/products?tab=schema', scene: 'resync' },
  { name: 'role-tables', path: '/tables', scene: 'role' },
  { name: 'role-table', path: '/tables/analytics/orders', scene: 'role' },
  { name: 'role-endpoints', path: '/endpoints?path=/orders', scene: 'role' },
  { name: 'role-elsewhere', path: '/changes', scene: 'role' },
  {
    name: 'row',
    path: '/tables/analytics/orders/row?key.order_id=7950',
    prepare: async (page) => {
      const buttons = page.getByRole('button', { name: 'What else it changed' });
      if ((await buttons.count()) > 0) await buttons.first().click();
    },
  },
  { name: 'sql', path: `/sql?q=${SQL}` },
  { name: 'sql-chart', path: `/sql?q=${SQL}&tab=chart` },
  { name: 'sql-error', path: '/sql?q=selec%201' },
  {
    name: 'changes',
    path: '/changes',
    prepare: async (page) => {
      await page.waitForTimeout(1500);
      await page.keyboard.press('p');
      await page.locator('.tail-row', { hasText: 'update' }).first().click();
    },
  },
  { name: 'endpoints', path: '/endpoints?path=/orders' },
  { name: 'dashboards', path: '/dashboards' },
  { name: 'dashboard', path: '/dashboards/orders' },
  { name: 'lineage', path: '/lineage' },
  { name: 'lineage-node', path: '/lineage?node=model:analytics.open_pending_items_by_product' },
  { name: 'lineage-large', path: '/lineage', lineage: 1000 },
  {
    name: 'palette',
    path: '/',
    prepare: async (page) => {
      await page.keyboard.press('Control+k');
      await page.keyboard.type('ord');
    },
  },
  { name: 'help', path: '/tables', prepare: (page) => page.keyboard.press('?') },
];
