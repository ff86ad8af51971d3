// The dbt project of the mock: what it consists of, and how its last builds went.

import { chance } from './chance.mjs';
import { VIEWS } from './questions.mjs';

const PACKAGE = 'finance';
const MINUTE = 60_000;
/** As many as the server tells of. */
const RUNS = 20;
const HISTORY = 30;

const source = (table) => `source.${PACKAGE}.operations.${table}`;
const model = (name) => `model.${PACKAGE}.${name}`;

const RAW = {
  stg_orders: `{# One line an order, named as the reports name things. #}
select
    order_id,
    customer_id,
    upper(status) as status,
    order_date,
    delivery_date
from {{ source('operations', 'orders') }}
where status <> 'DRAFT' -- never delivered
`,
  open_pending_items_by_product: `{{ config(materialized='table', tags=['stock']) }}

select
    p.product_id,
    p.product_name,
    sum(i.quantity) as quantity
from {{ ref('stg_order_items') }} as i
join {{ ref('stg_orders') }} as o using (order_id)
join {{ ref('stg_products') }} as p using (product_id)
where o.status in ('OPEN', 'PENDING')
{% if var('only_active', true) %}
  and p.is_active
{% endif %}
group by all
order by quantity desc, 1
limit 1000
`,
};

const compiledOf = (raw) =>
  raw
    .replaceAll(/\{#[\s\S]*?#\}\n?|\{\{ config[\s\S]*?\}\}\n*|\{%.*?%\}\n/g, '')
    .replaceAll(/\{\{ source\('(\w+)', '(\w+)'\) \}\}/g, '"analytics"."$2"')
    .replaceAll(/\{\{ ref\('(\w+)'\) \}\}/g, '"analytics"."$1"');

const rawOf = (name, parents) =>
  RAW[name] ??
  `select *\nfrom ${parents
    .map((id) => {
      const [kind, , from, table] = id.split('.');
      return kind === 'source' ? `{{ source('${from}', '${table}') }}` : `{{ ref('${from}') }}`;
    })
    .join('\njoin ')}\n`;

function node(resource, name, rest) {
  const id = resource === 'source' ? source(name) : `${resource}.${PACKAGE}.${name}`;
  return {
    id,
    resource,
    name,
    package: PACKAGE,
    path: `models/${name}.sql`,
    description: '',
    tags: [],
    materialized: null,
    relation: null,
    parents: [],
    checks: [],
    columns: [],
    ...rest,
  };
}

const relation = (name, schema = 'analytics') => ({ schema, name });
const check = (kind, column, severity = 'error') => ({ kind, column, severity });

function nodesOf() {
  const tables = ['customers', 'products', 'orders', 'order_items'];
  const staged = tables.map((table) =>
    node('model', `stg_${table}`, {
      path: `models/staging/stg_${table}.sql`,
      description: table === 'orders' ? 'One line an order, without drafts; status in capitals.' : '',
      tags: ['nightly'],
      materialized: 'view',
      relation: relation(`stg_${table}`, 'staging'),
      parents: [source(table)],
      columns: [
        { name: `${table.replace(/s$/, '')}_id`, type: 'BIGINT', description: 'The key at the source.' },
        ...(table === 'order_items' ? [{ name: 'quantity', type: 'INTEGER', description: '' }] : []),
        ...(table === 'orders' ? [{ name: 'status', type: 'VARCHAR', description: '' }] : []),
      ],
      checks: [
        check('unique', `${table.replace(/s$/, '')}_id`),
        check('not_null', `${table.replace(/s$/, '')}_id`),
        ...(table === 'orders' ? [check('accepted_values', 'status', 'warn')] : []),
      ],
    }),
  );
  const marts = Object.entries({
    open_orders_by_delivery_date_status: ['stg_orders', 'order_days'],
    top_delivery_dates_open_orders: ['open_orders_by_delivery_date_status'],
    open_pending_items_by_product: ['stg_orders', 'stg_order_items', 'stg_products'],
    top_customers_with_pending_orders: ['stg_orders', 'stg_customers'],
  }).map(([name, parents]) =>
    node('model', name, {
      path: `models/marts/${name}.sql`,
      description: {
        open_pending_items_by_product:
          'What has to be in stock for orders that are open or pending, by product.\n\nThe warehouse team orders from it each morning; a product without a name is one that was deleted since.',
        top_delivery_dates_open_orders: 'The three delivery dates with the most open orders.',
      }[name],
      tags: name.includes('items') ? ['stock'] : ['nightly'],
      materialized: name.startsWith('top') ? 'view' : name.includes('items') ? 'table' : 'incremental',
      relation: relation(name),
      parents: parents.map(model),
      columns: VIEWS[name].columns.map(({ name, type }) => ({
        name,
        type,
        description: name === 'quantity' ? 'How many pieces, over all orders.' : '',
      })),
      checks: name.includes('items')
        ? [check('unique', 'product_id'), check('not_null', 'product_id'), check(null, null)]
        : [],
    }),
  );
  return [
    ...tables.map((table) =>
      node('source', table, {
        path: 'models/sources.yml',
        relation: relation(table),
        checks: table === 'orders' ? [check('not_null', 'customer_id')] : [],
      }),
    ),
    ...staged,
    node('model', 'order_days', {
      path: 'models/intermediate/order_days.sql',
      materialized: 'ephemeral',
      parents: [model('stg_orders')],
    }),
    ...marts,
    node('model', 'stock_report', {
      path: 'models/marts/stock_report.sql',
      tags: ['stock'],
      materialized: 'table',
      relation: relation('stock_report'),
      parents: [model('open_pending_items_by_product'), `seed.${PACKAGE}.status_names`],
      checks: [check('not_null', 'product_id')],
    }),
    node('seed', 'status_names', {
      path: 'seeds/status_names.csv',
      materialized: 'seed',
      relation: relation('status_names'),
      columns: [{ name: 'status', type: 'VARCHAR', description: '' }],
      checks: [check('unique', 'status')],
    }),
    node('snapshot', 'customers_by_month', {
      path: 'snapshots/customers_by_month.sql',
      materialized: 'snapshot',
      relation: relation('customers_by_month', 'snapshots'),
      parents: [model('stg_customers')],
    }),
    node('exposure', 'stock_dashboard', { path: 'models/exposures.yml', parents: [model('stock_report')] }),
  ].map((one) => ({ ...one, description: one.description ?? '' }));
}

/** A large project as they are: wide, and some layers deep. */
function large(size) {
  const layers = [[], [], [], [], []];
  return Array.from({ length: size }, (_, at) => {
    const depth = at % layers.length;
    const name = `${['stg', 'stg', 'int', 'fct', 'rpt'][depth]}_model_${String(at).padStart(4, '0')}`;
    const near = depth === 0 ? [] : layers[depth - 1];
    const parents = near.length === 0 ? [] : [near[(at * 7) % near.length], near[(at * 31) % near.length]];
    layers[depth].push(model(name));
    return node('model', name, {
      path: `models/${name}.sql`,
      materialized: depth < 2 ? 'view' : 'table',
      relation: relation(name, 'marts'),
      parents: [...new Set(parents)],
      checks: [check('not_null', 'id')],
    });
  });
}

const FAILED = {
  [model('open_pending_items_by_product')]: {
    status: 'error',
    message: `error[MS9110]: Binder Error: Referenced column "is_active" not found in FROM clause!
  --> models/marts/open_pending_items_by_product.sql:12:9
   |
12 |   and p.is_active
   |         ^
   = candidate bindings: "product_id", "product_name", "unit_price"`,
  },
  [model('stock_report')]: { status: 'skipped', message: null },
};

function checkNode(of, { kind, column, severity }) {
  const name = kind === null ? `no_negative_${of.name}` : `${kind}_${of.name}_${column}`;
  const path = kind === null ? `tests/${name}.sql` : of.path.replace(/\w+\.(sql|csv)$/, 'schema.yml');
  return { id: `test.${PACKAGE}.${name}`, name, kind, column, severity, path };
}

function sqlOf({ relation: { schema, name } }, { kind, column }) {
  const from = `"${schema}"."${name}"`;
  if (kind === 'unique')
    return `select ${column} as unique_field, count(*) as n_records\nfrom ${from}\nwhere ${column} is not null\ngroup by ${column}\nhaving count(*) > 1\n`;
  if (kind === null) return `select *\nfrom ${from}\nwhere quantity < 0\n`;
  return `select ${column}\nfrom ${from}\nwhere ${column} is null\n`;
}

/** Scenes that matter here: `empty` (no project), `unbuilt`, `failed`; all others went well. */
export class Models {
  constructor({ scene, models = 0 }) {
    this.project = scene === 'empty' ? null : PACKAGE;
    const chances = chance(11);
    const now = Date.now();
    const failed = scene === 'failed';
    const runs = scene === 'unbuilt' ? 0 : HISTORY;
    const at = (back) => new Date(now - (3 * back * back + 2) * MINUTE).toISOString();
    this.nodes = this.project === null || scene === 'unbuilt' ? [] : [...nodesOf(), ...large(models)];
    for (const [index, one] of this.nodes.entries()) {
      const built = ['model', 'seed', 'snapshot'].includes(one.resource) && one.materialized !== 'ephemeral';
      const base = 0.004 + chances.next() * (one.materialized === 'view' ? 0.01 : 0.3);
      const bad = failed ? FAILED[one.id] : undefined;
      const result = (back) => ({
        run: `run-${back}`,
        at: at(back),
        seconds: Number((base * (0.8 + chances.next() * 0.5) * (1 - back / 90)).toFixed(4)),
        failures: null,
        ...(bad && back === 0 ? bad : { status: 'success', message: 'OK' }),
      });
      one.history = built ? Array.from({ length: runs }, (_, back) => result(back)) : [];
      if (one.history[0]?.status === 'skipped') one.history[0].seconds = 0;
      one.checks = one.checks.map((of) => {
        const found = failed && of.kind === 'accepted_values' ? 3 : failed && index % 5 === 4 ? 2 : 0;
        const skipped = bad !== undefined;
        const history = Array.from({ length: runs }, (_, back) => {
          const count = back < 2 || back === 9 ? found : 0;
          const status =
            skipped && back === 0 ? 'skipped' : count === 0 ? 'pass' : of.severity === 'warn' ? 'warn' : 'fail';
          return {
            run: `run-${back}`,
            status,
            at: at(back),
            seconds: Number((0.001 + chances.next() * 0.006).toFixed(4)),
            failures: status === 'skipped' ? null : count,
            message: count > 0 && status !== 'skipped' ? `Got ${count} results, configured to ${status} if != 0` : null,
          };
        });
        return { ...checkNode(one, of), compiled: runs > 0 ? sqlOf(one, of) : null, history };
      });
    }
    this.runs = Array.from({ length: Math.min(RUNS, runs) }, (_, back) => this.run(back, at(back)));
  }

  run(back, at) {
    const counts = {};
    let seconds = 0.08;
    for (const { history, checks } of this.nodes) {
      for (const result of [history[back], ...checks.map((of) => of.history[back])]) {
        if (!result) continue;
        counts[result.status] = (counts[result.status] ?? 0) + 1;
        seconds += result.seconds / 4;
      }
    }
    return { id: `run-${back}`, verb: back % 7 === 3 ? 'test' : 'build', at, seconds, counts };
  }

  summary(of) {
    const { checks, columns, history, ...rest } = of;
    const tests = { total: checks.length, pass: 0, warn: 0, fail: 0, error: 0, skipped: 0 };
    for (const {
      history: [newest],
    } of checks)
      if (newest) tests[newest.status] += 1;
    const { status, at, seconds, message } = history[0] ?? {};
    return { ...rest, tests, last: history[0] ? { status, at, seconds, message } : null };
  }

  document() {
    return { project: this.project, nodes: this.nodes.map((of) => this.summary(of)), runs: this.runs };
  }

  /** Its nodes as threads take them: four at once, each behind what it reads. */
  runDetail(id) {
    const back = this.runs.findIndex((run) => run.id === id);
    if (back < 0) return null;
    const run = this.runs[back];
    const start = Date.parse(run.at);
    const threads = [0.06, 0.06, 0.06, 0.06];
    const nodes = [];
    const take = (of, result, told) => {
      const thread = threads.indexOf(Math.min(...threads));
      const at = new Date(start + threads[thread] * 1000).toISOString();
      threads[thread] += result.seconds;
      const { status, seconds, failures, message } = result;
      nodes.push({ id: of.id, resource: of.resource, status, at, seconds, failures, message, rows: null, ...told });
    };
    for (const of of this.nodes) {
      const rows = of.resource === 'seed' ? 6 : null;
      const message = rows === null ? {} : { message: `INSERT ${rows}` };
      if (of.history[back]) take(of, of.history[back], { name: of.name, about: null, rows, ...message });
      for (const check of of.checks)
        take({ ...check, resource: 'test' }, check.history[back], { name: check.name, about: [of.id] });
    }
    nodes.sort((a, b) => a.at.localeCompare(b.at));
    return { ...run, seconds: Math.max(run.seconds, ...threads) + 0.02, nodes, no_longer_kept: back > 15 ? 2 : 0 };
  }

  /** Columns are those of the same name in what is read; `quantity` is made of more, and one model is beyond what can be followed. */
  columnLineage(id, column) {
    const byId = new Map(this.nodes.map((one) => [one.id, one]));
    const has = (of, name) => of.resource === 'source' || of.columns.some((one) => one.name === name);
    const opaque = (of) => of.name === 'top_customers_with_pending_orders';
    const above = (of, name) => {
      if (opaque(of) || of.resource === 'source') return [];
      const parents = of.parents.map((parent) => byId.get(parent)).filter(Boolean);
      const from = parents.filter((parent) => has(parent, name)).map((parent) => [parent, name, 'from']);
      if (name !== 'quantity') return from;
      const items = byId.get(model('stg_order_items'));
      const orders = byId.get(model('stg_orders'));
      return of.name.startsWith('stg')
        ? from
        : [
            [items, 'quantity', 'from'],
            [orders, 'status', 'by'],
          ];
    };
    const below = (of, name) =>
      this.nodes.flatMap((child) =>
        child.columns
          .filter((one) => above(child, one.name).some(([node, read]) => node === of && read === name))
          .map((one) => [child, one.name, one.name === name ? 'from' : 'by']),
      );
    const follow = (next) => {
      const steps = [];
      const seen = new Set();
      const visit = (of, name, depth) => {
        for (const [node, read, way] of next(of, name)) {
          const key = `${node.id} ${read}`;
          steps.push({ depth, node: node.id, column: read, way, again: seen.has(key), unknown: null });
          if (seen.has(key)) continue;
          seen.add(key);
          visit(node, read, depth + 1);
        }
      };
      visit(of, column, 1);
      return steps;
    };
    const of = byId.get(id);
    if (of === undefined || !has(of, column)) return null;
    const reason = 'line 4: PIVOT as a statement of its own is not understood';
    const [upstream, downstream] = [follow(above), follow(below)];
    const reached = new Set([id, ...downstream.map(({ node }) => node)]);
    const unseen = this.nodes.filter((one) => opaque(one) && one.parents.some((parent) => reached.has(parent)));
    return {
      node: id,
      column,
      unknown: opaque(of) ? reason : null,
      upstream,
      upstream_count: upstream.length,
      downstream,
      downstream_count: downstream.length,
      not_followed: unseen.map((one) => ({ node: one.id, unknown: reason })),
    };
  }

  /** Null where there is no such node. */
  detail(id) {
    const of = this.nodes.find((one) => one.id === id);
    if (of === undefined) return null;
    const raw = ['model', 'snapshot'].includes(of.resource) ? rawOf(of.name, of.parents) : null;
    return {
      ...this.summary(of),
      raw,
      compiled: raw && of.history.length > 0 ? compiledOf(raw) : null,
      children: this.nodes.filter(({ parents }) => parents.includes(id)).map((one) => one.id),
      columns: of.columns.map((column) => ({
        ...column,
        tests: of.checks.filter((one) => one.column === column.name && one.kind).map(({ kind }) => kind),
      })),
      checks: of.checks,
      history: of.history,
    };
  }
}
