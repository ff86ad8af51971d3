// Every page in the state in which it is pictured.

const SQL = encodeURIComponent(
  'SELECT status, count(*) AS orders\nFROM analytics.orders\nGROUP BY status\nORDER BY 2 DESC',
);

const MODEL = '/models/model.finance.open_pending_items_by_product';

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
  { name: 'role-dashboard', path: '/dashboards/orders', scene: 'role' },
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
  { name: 'models', path: '/models' },
  { name: 'models-failed', path: '/models?status=trouble', scene: 'failed' },
  { name: 'models-unbuilt', path: '/models', scene: 'unbuilt' },
  { name: 'models-none', path: '/models', scene: 'empty' },
  { name: 'models-large', path: '/models?sort=seconds.desc', models: 1000 },
  { name: 'models-large-found', path: '/models?find=model_077', models: 1000 },
  { name: 'model', path: MODEL },
  { name: 'model-failed', path: MODEL, scene: 'failed' },
  { name: 'model-skipped', path: '/models/model.finance.stock_report', scene: 'failed' },
  { name: 'model-code', path: `${MODEL}?tab=code` },
  { name: 'model-compiled', path: `${MODEL}?tab=code&code=compiled` },
  { name: 'model-columns', path: `${MODEL}?tab=columns` },
  { name: 'model-column', path: `${MODEL}?tab=columns&column=quantity` },
  { name: 'model-column-source', path: '/models/source.finance.operations.orders?tab=columns&column=status' },
  {
    name: 'model-column-unknown',
    path: '/models/model.finance.top_customers_with_pending_orders?tab=columns&column=customer_id',
  },
  { name: 'run', path: '/models/runs/run-0' },
  { name: 'run-failed', path: '/models/runs/run-0', scene: 'failed' },
  { name: 'run-large', path: '/models/runs/run-0', models: 1000 },
  { name: 'run-gone', path: '/models/runs/none' },
  {
    name: 'model-tests',
    path: '/models/model.finance.stg_orders?tab=tests&check=test.finance.accepted_values_stg_orders_status',
    scene: 'failed',
  },
  { name: 'model-runs', path: `${MODEL}?tab=runs`, scene: 'failed' },
  { name: 'model-source', path: '/models/source.finance.operations.orders' },
  { name: 'model-gone', path: '/models/model.finance.gone' },
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
