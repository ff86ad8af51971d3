// The finance example in small: customers, products, orders and their items, a past of some weeks, and a load that goes on.

import { chance } from './chance.mjs';
import { Store } from './store.mjs';

const FIRST = [
  'Ada',
  'Bruno',
  'Chioma',
  'Daan',
  'Elif',
  'Farid',
  'Grete',
  'Hana',
  'Ivo',
  'Jun',
  'Kofi',
  'Lena',
  'Mateo',
  'Noor',
  'Olga',
  'Priya',
];
const LAST = [
  'Almeida',
  'Bergström',
  'Costa',
  'Dvořák',
  'Eriksen',
  'Fischer',
  'Gómez',
  'Haddad',
  'Ito',
  'Jansen',
  'Kaya',
  'Lambert',
  'Mensah',
  'Novák',
  'Okafor',
  'Pereira',
];
const STREETS = [
  'Mill Lane',
  'Harbour Street',
  'Station Road',
  'Orchard Way',
  'Rua do Moinho',
  'Mühlgasse',
  'Kanaalweg',
  'Calle del Molino',
];
const KINDS = ['Small', 'Large', 'Light', 'Sturdy', 'Plain', 'Painted', 'Folding', 'Waterproof'];
const THINGS = ['crate', 'lamp', 'bucket', 'ladder', 'chair', 'kettle', 'shelf', 'basket', 'clock', 'blanket'];
const NEXT = { OPEN: 'PENDING', PENDING: 'PROCESSING', PROCESSING: 'COMPLETED', REPROCESSING: 'COMPLETED' };
const DAY = 86_400_000;

const column = (name, type, source_type, options = {}) => ({
  name,
  type,
  source_type,
  key: false,
  nullable: true,
  ...options,
});
const KEY = { key: true, nullable: false };
const AUDIT = [
  column('updated_at', 'TIMESTAMP WITH TIME ZONE', 'timestamp(3) with time zone'),
  column('updated_by', 'VARCHAR', 'text'),
  column('created_at', 'TIMESTAMP WITH TIME ZONE', 'timestamp(3) with time zone', { nullable: false }),
  column('created_by', 'VARCHAR', 'text', { nullable: false }),
];

const TABLES = [
  [
    'customers',
    [
      column('customer_id', 'BIGINT', 'bigint', KEY),
      column('customer_name', 'VARCHAR', 'text', { nullable: false }),
      column('is_active', 'BOOLEAN', 'boolean', { nullable: false }),
      column('customer_address', 'VARCHAR', 'text'),
    ],
  ],
  [
    'products',
    [
      column('product_id', 'BIGINT', 'bigint', KEY),
      column('product_name', 'VARCHAR', 'text', { nullable: false }),
      column('barcode', 'VARCHAR', 'text', { nullable: false }),
      column('unit_price', 'DECIMAL(12,2)', 'numeric(12,2)', { nullable: false }),
      column('is_active', 'BOOLEAN', 'boolean', { nullable: false }),
    ],
  ],
  [
    'orders',
    [
      column('order_id', 'BIGINT', 'bigint', KEY),
      column('order_date', 'DATE', 'date', { nullable: false }),
      column('delivery_date', 'DATE', 'date', { nullable: false }),
      column('customer_id', 'BIGINT', 'bigint', { nullable: false }),
      column('status', 'VARCHAR', 'text', { nullable: false }),
    ],
  ],
  [
    'order_items',
    [
      column('order_item_id', 'BIGINT', 'bigint', KEY),
      column('order_id', 'BIGINT', 'bigint', { nullable: false }),
      column('product_id', 'BIGINT', 'bigint', { nullable: false }),
      column('quantity', 'INTEGER', 'integer', { nullable: false }),
    ],
  ],
].map(([name, columns]) => ({ name: `operations.${name}`, columns: [...columns, ...AUDIT] }));

const day = (ms) => new Date(ms).toISOString().slice(0, 10);
const stamp = (ms) => new Date(ms).toISOString();

export class Finance {
  constructor({ seed = 7, customers = 900, products = 240, orders = 8000, now = Date.now() } = {}) {
    this.random = chance(seed);
    this.store = new Store(TABLES);
    this.orders = new Map();
    this.items = 0;
    this.customers = customers;
    this.products = products;
    this.since = now - 6 * DAY - 4 * 3_600_000;
    this.fill(customers, products, orders);
    // The last days were lived through before anybody looked.
    for (let ms = this.since + 60_000; ms < now - 5000; ms += 1_800_000) this.work(ms, 3);
    for (let ms = now - 900_000; ms < now; ms += 2500) this.work(ms, 1);
  }

  audit(ms, updated = false) {
    return [updated ? stamp(ms) : null, updated ? this.random.one(['web', 'warehouse', 'nightly']) : null];
  }

  fill(customers, products, orders) {
    const { random, since } = this;
    const changes = [];
    const made = (ms) => [null, null, stamp(ms), 'loader'];
    for (let id = 1; id <= customers; id += 1) {
      const address = random.below(40) === 0 ? null : `${1 + random.below(240)} ${random.one(STREETS)}`;
      changes.push([
        'operations.customers',
        String(id),
        [
          String(id),
          `${random.one(FIRST)} ${random.one(LAST)}`,
          String(random.below(50) > 0),
          address,
          ...made(since - 90 * DAY),
        ],
      ]);
    }
    for (let id = 1; id <= products; id += 1) {
      const price = ((199 + random.below(20000)) / 100).toFixed(2);
      changes.push([
        'operations.products',
        String(id),
        [
          String(id),
          `${random.one(KINDS)} ${random.one(THINGS)} no. ${id}`,
          String(4000000000000 + id * 7919),
          price,
          String(random.below(50) > 0),
          ...made(since - 90 * DAY),
        ],
      ]);
    }
    for (let id = 1; id <= orders; id += 1)
      this.order(changes, id, since - 60 * DAY * (1 - id / orders), id > orders * 0.93);
    this.store.commit(changes, since, { snapshot: true });
  }

  order(changes, id, ms, flying) {
    const { random } = this;
    const status = flying
      ? random.one(['OPEN', 'OPEN', 'PENDING', 'PENDING', 'PROCESSING', 'REPROCESSING'])
      : random.below(100) === 0
        ? 'CANCELLED'
        : 'COMPLETED';
    const customer = 1 + random.below(1 + random.below(this.customers));
    const row = [
      String(id),
      day(ms),
      day(ms + (1 + random.below(9)) * DAY),
      String(customer),
      status,
      null,
      null,
      stamp(ms),
      'web',
    ];
    this.orders.set(id, row);
    changes.push(['operations.orders', String(id), row]);
    for (let left = 1 + random.below(4); left > 0; left -= 1) {
      this.items += 1;
      const item = String(this.items);
      changes.push([
        'operations.order_items',
        item,
        [
          item,
          String(id),
          String(1 + random.below(this.products)),
          String(1 + random.below(25)),
          null,
          null,
          stamp(ms),
          'web',
        ],
      ]);
    }
  }

  /** A few transactions of the application at a moment. */
  work(ms, transactions) {
    const { random, store } = this;
    for (let left = transactions; left > 0; left -= 1) {
      const changes = [];
      const what = random.below(20);
      if (what < 7) {
        this.order(changes, this.orders.size + 1, ms, true);
        this.orders.get(this.orders.size)[4] = 'OPEN';
      } else if (what < 17) {
        for (let more = 1 + random.below(3); more > 0; more -= 1) this.advance(changes, ms);
      } else if (what === 17) {
        const id = String(1 + random.below(this.customers));
        const old = store.tables.get('operations.customers').rows.get(id).at(-1).values;
        changes.push([
          'operations.customers',
          id,
          [
            old[0],
            old[1],
            old[2],
            `${1 + random.below(240)} ${random.one(STREETS)}`,
            ...this.audit(ms, true),
            old[6],
            old[7],
          ],
        ]);
      } else if (what === 18) {
        const id = String(1 + random.below(this.products));
        const old = store.tables.get('operations.products').rows.get(id).at(-1).values;
        const price = (Number(old[3]) * (0.95 + random.next() / 10)).toFixed(2);
        changes.push([
          'operations.products',
          id,
          [...old.slice(0, 3), price, old[4], ...this.audit(ms, true), old[7], old[8]],
        ]);
      } else {
        const item = String(1 + random.below(this.items));
        const last = store.tables.get('operations.order_items').rows.get(item)?.at(-1);
        if (last && last.operation !== 'DELETE') changes.push(['operations.order_items', item, null]);
      }
      if (changes.length > 0) store.commit(changes, ms + left);
    }
  }

  advance(changes, ms) {
    const { random } = this;
    const id = Math.max(1, this.orders.size - random.below(560));
    const old = this.orders.get(id);
    const next = NEXT[old?.[4]];
    if (!next || changes.some(([, key]) => key === String(id))) return;
    const status =
      old[4] === 'PROCESSING' && random.below(8) === 0 ? 'REPROCESSING' : random.below(40) === 0 ? 'CANCELLED' : next;
    const row = [...old.slice(0, 4), status, ...this.audit(ms, true), old[7], old[8]];
    this.orders.set(id, row);
    changes.push(['operations.orders', String(id), row]);
  }
}
