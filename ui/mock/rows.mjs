// Rows by filter, order and page, and the versions of one row.

import { Refused, VIEWS } from './questions.mjs';
import { parseLsn, printLsn } from './store.mjs';

export function moment(text, since) {
  if (!text) return null;
  const lsn = parseLsn(text);
  const ms = Date.parse(text);
  if (lsn === null && Number.isNaN(ms)) throw new Refused(400, 'MS5303', `${text} is neither a time nor a position`);
  if (lsn === null && ms < since) {
    throw new Refused(
      400,
      'MS5304',
      'the table has no history before that',
      `it begins at ${new Date(since).toISOString()}`,
      'choose a later moment',
    );
  }
  return lsn ?? ms;
}

const numeric = (type) => /INT|DECIMAL/.test(type);

function compare(type, a, b) {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return numeric(type) ? Number(a) - Number(b) : a < b ? -1 : 1;
}

function like(pattern, flags) {
  const text = pattern
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
  return new RegExp(`^${text}$`, flags);
}

function passes(type, cell, operator, value) {
  if (operator === 'is')
    return value === 'null' ? cell === null : value === 'not_null' ? cell !== null : cell === value;
  if (cell === null) return false;
  if (operator === 'like' || operator === 'ilike') return like(value, operator === 'ilike' ? 'is' : 's').test(cell);
  if (operator === 'in')
    return value
      .replace(/^\(|\)$/g, '')
      .split(',')
      .includes(cell);
  const order = compare(type, cell, value);
  const results = { eq: order === 0, neq: order !== 0, lt: order < 0, lte: order <= 0, gt: order > 0, gte: order >= 0 };
  if (!(operator in results)) throw new Refused(400, 'MS7004', `there is no operator ${operator}`);
  return results[operator];
}

export function rowsOf(store, since, schema, name, query) {
  const view = VIEWS[name];
  const table = store.tables.get(`operations.${name}`);
  if (schema !== 'analytics' || (!view && !table))
    throw new Refused(404, 'MS5302', `there is no table ${schema}.${name}`);
  const asOf = moment(query.get('as_of'), since);
  const columns = (view ?? table).columns.map(({ name, type }) => ({ name, type }));
  const at = (column) => {
    const index = columns.findIndex(({ name }) => name === column);
    if (index === -1)
      throw new Refused(
        400,
        'MS7003',
        `${schema}.${name} has no column ${column}`,
        null,
        `it has ${columns.map(({ name }) => name).join(', ')}`,
      );
    return index;
  };
  let rows = view ? view.rows(store, asOf) : store.rowsOf(table.name, asOf);
  for (const filter of query.getAll('filter')) {
    const [, column, operator, value] = /^(.+?)\.(\w+)\.(.*)$/s.exec(filter) ?? [];
    const index = at(column);
    rows = rows.filter((row) => passes(columns[index].type, row[index], operator, value));
  }
  const order = /^(.+?)(?:\.(asc|desc))?$/.exec(query.get('order') ?? '');
  if (order) {
    const index = at(order[1]);
    rows = [...rows].sort((a, b) => compare(columns[index].type, a[index], b[index]) * (order[2] === 'desc' ? -1 : 1));
  }
  const offset = Number(query.get('offset') ?? 0);
  const limit = Math.min(1000, Number(query.get('limit') ?? 100));
  return {
    columns,
    rows: rows.slice(offset, offset + limit),
    position: printLsn(store.lsn),
    total_estimate: rows.length,
  };
}

export function rowOf(store, schema, name, query) {
  const table = store.tables.get(`operations.${name}`);
  if (schema !== 'analytics' || !table) throw new Refused(404, 'MS5302', `there is no table ${schema}.${name}`);
  const key = table.columns.filter((column) => column.key).map((column) => query.get(`key.${column.name}`));
  const text = (lsn) => (lsn === null ? null : printLsn(lsn));
  const versions = (table.rows.get(key.join(',')) ?? []).map((version) => ({
    ...version,
    lsn: text(version.lsn),
    lsn_to: text(version.lsn_to),
  }));
  return { columns: table.columns.map(({ name, type }) => ({ name, type })), versions, truncated: false };
}
