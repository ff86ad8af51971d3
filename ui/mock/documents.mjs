// What the project defines beside its tables: endpoints, dashboards, lineage.

import { VIEWS } from './questions.mjs';

const status = {
  name: 'status',
  type: 'string',
  default: 'open',
  enum: ['open', 'pending', 'processing', 'completed', 'cancelled', 'all'],
};
const limit = (usual) => ({ name: 'limit', type: 'integer', default: usual, min: 1, max: 10000 });

export const ENDPOINTS = [
  {
    path: '/orders',
    description: 'Open orders by delivery date and status',
    params: [status, limit(100)],
    cache_seconds: 10,
    live: true,
    file: 'api/orders.sql',
    error: null,
  },
  {
    path: '/orders/top',
    description: 'The delivery dates with the most open orders',
    params: [limit(3)],
    cache_seconds: null,
    live: true,
    file: 'api/orders_top.sql',
    error: null,
  },
  {
    path: '/orders/product',
    description: 'What has to be in stock for pending orders',
    params: [limit(20)],
    cache_seconds: null,
    live: false,
    file: 'api/orders_product.sql',
    error: null,
  },
  {
    path: '/orders/customers',
    description: 'Customers who wait for the most orders',
    params: [{ ...status, default: 'pending' }, limit(3)],
    cache_seconds: null,
    live: false,
    file: 'api/orders_customers.sql',
    error: null,
  },
];

export const ANSWERS = {
  '/orders': 'open_orders_by_delivery_date_status',
  '/orders/top': 'top_delivery_dates_open_orders',
  '/orders/product': 'open_pending_items_by_product',
  '/orders/customers': 'top_customers_with_pending_orders',
};

export const DASHBOARDS = [
  {
    name: 'orders',
    title: 'Orders',
    description: null,
    file: 'dashboards/orders.yml',
    error: null,
    charts: [
      {
        title: 'Open orders',
        kind: 'number',
        sql: "select count(*) as open_orders from analytics.orders where status = 'OPEN'",
      },
      {
        title: 'By delivery date',
        kind: 'stacked',
        endpoint: '/orders?status=all',
        x: 'delivery_date',
        y: 'orders',
        color: 'status',
      },
      {
        title: 'Orders a day',
        kind: 'line',
        sql: 'select order_date, count(*) as orders from analytics.orders group by order_date order by 1',
        x: 'order_date',
        y: 'orders',
      },
      {
        title: 'By status',
        kind: 'pie',
        sql: 'select status, count(*) as orders from analytics.orders group by status order by 2 desc',
        x: 'status',
        y: 'orders',
      },
      { title: 'Customers who wait', kind: 'table', endpoint: '/orders/customers' },
      { title: 'Busiest delivery dates', kind: 'bar', endpoint: '/orders/top', x: 'delivery_date', y: 'open_orders' },
    ],
  },
  {
    name: 'stock',
    title: 'Stock',
    description: null,
    file: 'dashboards/stock.yml',
    error: null,
    charts: [{ title: 'Pending items', kind: 'table', endpoint: '/orders/product' }],
  },
];

export const QUERIES = [
  {
    name: 'orders_by_status',
    title: 'Orders by status',
    description: 'How many orders are in each status',
    file: 'queries/orders_by_status.sql',
    sql: 'SELECT status, count(*) AS orders\nFROM analytics.orders\nGROUP BY status\nORDER BY 2 DESC',
    error: null,
  },
];

export function lineage(size) {
  const nodes = [];
  const edges = [];
  const node = (kind, label, id = `${kind}:${label}`) => nodes.push({ id, kind, label }) && id;
  const tables = ['customers', 'products', 'orders', 'order_items'];
  for (const table of tables) edges.push([node('source', `operations.${table}`), node('table', `analytics.${table}`)]);
  const uses = {
    open_orders_by_delivery_date_status: ['orders'],
    top_delivery_dates_open_orders: ['orders'],
    open_pending_items_by_product: ['orders', 'order_items', 'products'],
    top_customers_with_pending_orders: ['orders', 'customers'],
  };
  for (const [view, from] of Object.entries(uses)) {
    const id = node('model', `analytics.${view}`);
    for (const table of from) edges.push([`table:analytics.${table}`, id]);
  }
  for (const { path } of ENDPOINTS) edges.push([`model:analytics.${ANSWERS[path]}`, node('endpoint', path)]);
  for (const { name, title, charts } of DASHBOARDS) {
    const id = node('dashboard', title, `dashboard:${name}`);
    for (const { endpoint } of charts) if (endpoint) edges.push([`endpoint:${endpoint.split('?')[0]}`, id]);
  }
  if (DASHBOARDS.length > 0) edges.push(['table:analytics.orders', 'dashboard:orders']);
  // A large project as they are: wide, and some layers deep.
  const layers = [nodes.filter(({ kind }) => kind === 'table'), [], [], [], [], []];
  for (let at = nodes.length; at < size; at += 1) {
    const depth = 1 + (at % (layers.length - 1));
    const label = `${['staging', 'staging', 'intermediate', 'marts', 'reports'][depth - 1]}.model_${String(at).padStart(4, '0')}`;
    const id = node('model', label);
    layers[depth].push({ id });
    const near = layers[depth - 1];
    for (const step of [7, 31]) if (near.length > 0) edges.push([near[(at * step) % near.length].id, id]);
  }
  return { nodes, edges };
}

/** How the schema of a table changed since its history began. */
export function schemaChanges(name, since) {
  const at = (minutes, lsn, steps) => ({ at: new Date(since + minutes * 60_000).toISOString(), lsn, steps });
  if (name !== 'products') return [];
  return [
    at(12, '16/B374F1C8', [
      { change: 'column_added', column: 'is_active', to: 'boolean' },
      { change: 'column_dropped', column: 'legacy_code', from: 'character varying(20)' },
    ]),
    at(31, '16/B3A00D40', [{ change: 'column_renamed', from: 'title', to: 'product_name' }]),
    at(58, '16/B3B1E2A0', [
      { change: 'column_retyped', column: 'unit_price', from: 'numeric(10,2)', to: 'numeric(12,2)' },
      { change: 'column_retyped', column: 'barcode', from: 'bigint', to: 'text' },
    ]),
  ];
}

export const MODELS = Object.entries(VIEWS).map(([name, { columns }]) => ({
  name: `analytics.${name}`,
  warehouse: { schema: 'analytics', name },
  kind: 'view',
  holds: !name.startsWith('top'),
  columns: columns.map((column) => ({ ...column, key: false })),
  history: false,
  history_since: null,
  changes: [],
}));
