// The questions that the mock can answer in SQL: those that the example's models, endpoints and dashboards ask, `SELECT * FROM` a table,
// and what a transaction touched. Anything else is refused as a parser would.

import { printLsn } from './store.mjs';

export class Refused extends Error {
  constructor(status, code, title, detail = null, hint = null) {
    super(title);
    Object.assign(this, { status, code, title, detail, hint });
  }
}

const count = (rows, keyOf, amountOf = () => 1) => {
  const found = new Map();
  for (const row of rows) found.set(keyOf(row), (found.get(keyOf(row)) ?? 0) + amountOf(row));
  return [...found];
};

const named = (...columns) => columns.map(([name, type]) => ({ name, type }));

export const VIEWS = {
  open_orders_by_delivery_date_status: {
    columns: named(['delivery_date', 'DATE'], ['status', 'VARCHAR'], ['orders', 'BIGINT']),
    rows: (store, asOf) =>
      count(
        store.rowsOf('operations.orders', asOf).filter((row) => row[4] === 'OPEN' || row[4] === 'PENDING'),
        (row) => `${row[2]} ${row[4]}`,
      )
        .map(([key, orders]) => [...key.split(' '), String(orders)])
        .sort((a, b) => a[0].localeCompare(b[0]) || a[1].localeCompare(b[1])),
  },
  top_delivery_dates_open_orders: {
    columns: named(['delivery_date', 'DATE'], ['open_orders', 'BIGINT']),
    rows: (store, asOf) =>
      count(
        store.rowsOf('operations.orders', asOf).filter((row) => row[4] === 'OPEN'),
        (row) => row[2],
      )
        .sort((a, b) => b[1] - a[1])
        .slice(0, 3)
        .map(([date, orders]) => [date, String(orders)]),
  },
  open_pending_items_by_product: {
    columns: named(['product_id', 'BIGINT'], ['product_name', 'VARCHAR'], ['quantity', 'HUGEINT']),
    rows: (store, asOf) => {
      const pending = new Set(
        store
          .rowsOf('operations.orders', asOf)
          .filter((row) => row[4] === 'PENDING')
          .map((row) => row[0]),
      );
      const names = new Map(store.rowsOf('operations.products', asOf).map((row) => [row[0], row[1]]));
      return count(
        store.rowsOf('operations.order_items', asOf).filter((row) => pending.has(row[1])),
        (row) => row[2],
        (row) => Number(row[3]),
      )
        .sort((a, b) => b[1] - a[1])
        .map(([id, quantity]) => [id, names.get(id) ?? null, String(quantity)]);
    },
  },
  top_customers_with_pending_orders: {
    columns: named(['customer_id', 'BIGINT'], ['customer_name', 'VARCHAR'], ['pending_orders', 'BIGINT']),
    rows: (store, asOf) => {
      const names = new Map(store.rowsOf('operations.customers', asOf).map((row) => [row[0], row[1]]));
      return count(
        store.rowsOf('operations.orders', asOf).filter((row) => row[4] === 'PENDING'),
        (row) => row[3],
      )
        .sort((a, b) => b[1] - a[1])
        .slice(0, 3)
        .map(([id, orders]) => [id, names.get(id) ?? null, String(orders)]);
    },
  },
};

const STATUS = {
  columns: named(['status', 'VARCHAR'], ['orders', 'BIGINT']),
  rows: (store, asOf) =>
    count(store.rowsOf('operations.orders', asOf), (row) => row[4])
      .sort((a, b) => b[1] - a[1])
      .map(([status, orders]) => [status, String(orders)]),
};

/** SQL by its text without blanks: what stands in the example's files. */
const KNOWN = new Map([
  [
    "selectcount(*)asopen_ordersfromanalytics.orderswherestatus='OPEN'",
    {
      columns: named(['open_orders', 'BIGINT']),
      rows: (store, asOf) => [
        [String(store.rowsOf('operations.orders', asOf).filter((row) => row[4] === 'OPEN').length)],
      ],
    },
  ],
  ['selectstatus,count(*)asordersfromanalytics.ordersgroupbystatusorderby2desc', STATUS],
  [
    'selectorder_date,count(*)asordersfromanalytics.ordersgroupbyorder_dateorderby1',
    {
      columns: named(['order_date', 'DATE'], ['orders', 'BIGINT']),
      rows: (store, asOf) =>
        count(store.rowsOf('operations.orders', asOf), (row) => row[1])
          .sort((a, b) => a[0].localeCompare(b[0]))
          .map(([date, orders]) => [date, String(orders)]),
    },
  ],
]);

const bare = (sql) =>
  sql
    .replace(/\s+/g, '')
    .replace(/^select/i, 'select')
    .replace(/;$/, '');

export function answerSql(store, sql, asOf, rowsMax) {
  const known = KNOWN.get(
    bare(sql)
      .replace(/COUNT/g, 'count')
      .replace(/FROM/g, 'from')
      .replace(/WHERE/g, 'where')
      .replace(/GROUPBY/g, 'groupby')
      .replace(/ORDERBY/g, 'orderby')
      .replace(/AS/g, 'as')
      .replace(/DESC/g, 'desc')
      .replace(/SELECT/g, 'select'),
  );
  const plain = /^\s*select\s+\*\s+from\s+(?:analytics\.)?(\w+)(?:\s+limit\s+(\d+))?\s*;?\s*$/i.exec(sql);
  const position = /_lsn = (\d+)/.exec(sql);
  let columns;
  let rows;
  if (known) {
    columns = known.columns;
    rows = known.rows(store, asOf);
  } else if (position) {
    columns = named(['table_name', 'VARCHAR'], ['operation_type', 'VARCHAR'], ['row_count', 'BIGINT']);
    rows = touched(store, BigInt(position[1]));
  } else if (plain && (store.tables.has(`operations.${plain[1]}`) || VIEWS[plain[1]])) {
    const view = VIEWS[plain[1]];
    columns = view
      ? view.columns
      : store.tables.get(`operations.${plain[1]}`).columns.map(({ name, type }) => ({ name, type }));
    rows = view ? view.rows(store, asOf) : store.rowsOf(`operations.${plain[1]}`, asOf);
    rows = rows.slice(0, plain[2] ? Number(plain[2]) : rows.length);
  } else {
    const table = /from\s+([\w.]+)/i.exec(sql)?.[1];
    if (table) throw new Refused(400, 'MS5302', `there is no table ${table}`);
    throw new Refused(
      400,
      'MS5301',
      'the query can’t be understood',
      `syntax error at or near "${sql.trim().split(/\s/)[0]}"\n\nLINE 1: ${sql.trim().split('\n')[0]}\n        ^`,
    );
  }
  return { columns, rows: rows.slice(0, rowsMax), truncated: rows.length > rowsMax, position: printLsn(store.lsn) };
}

function touched(store, lsn) {
  const found = new Map();
  for (const table of store.tables.values()) {
    for (const versions of table.rows.values()) {
      for (const version of versions) {
        if (version.lsn !== lsn) continue;
        const key = `analytics.${table.name.split('.')[1]} ${version.operation}`;
        found.set(key, (found.get(key) ?? 0) + 1);
      }
    }
  }
  return [...found].map(([key, rows]) => [...key.split(' '), String(rows)]).sort();
}
