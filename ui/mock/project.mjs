// A running project as the server would show it: samples each second, a status, and scenes of trouble.

import { Finance } from './finance.mjs';
import { Models } from './models.mjs';
import { printLsn } from './store.mjs';

const GB = 1e9;

const FAILURE = {
  code: 'MS2002',
  message: 'no server answered at db.internal:5432',
  detail: 'connection refused (os error 111)',
  hint: 'is PostgreSQL running there, and does a firewall let this machine in? It is tried again every 5 seconds.',
};

/** Scenes: `well`, `idle`, `error` (the source is away), `resync` (a table must be read again), `full` (the log nears its bound), `empty`, `unbuilt` (no model is built yet), `failed` (the last build), `locked` (the key is `ms_key`), `role` (who looks may not see everything). */
export class Project {
  constructor({ scene = 'well', seed = 7, lineage = 0, models = 0 } = {}) {
    this.scene = scene;
    this.lineage = lineage;
    this.models = new Models({ scene, models });
    this.locked = scene === 'locked';
    this.ofRole = scene === 'role';
    this.finance = new Finance({ seed });
    this.store = this.finance.store;
    this.samples = [];
    this.listeners = new Set();
    this.past();
  }

  /** Fifteen minutes that were, with a large transaction in them. */
  past() {
    const now = Date.now();
    let lsn = this.store.lsn - 900n * 9000n;
    let rows = this.store.rowsApplied;
    for (let second = 900; second > 0; second -= 1) {
      const burst = second > 520 && second < 560;
      const rate = this.still()
        ? 0
        : burst
          ? 21_000
          : 180 + Math.round(120 * Math.sin(second / 40) + 60 * Math.sin(second * 1.7));
      rows += rate;
      lsn += BigInt(rate * 40);
      const lag = burst
        ? (560 - second) * 0.11
        : second > 505 && second <= 520
          ? (second - 505) * 0.28
          : 0.018 + 0.01 * Math.abs(Math.sin(second));
      this.samples.push(this.sample(now - second * 1000, lsn, rows, lag, burst ? lag * 9e5 : 0));
    }
    this.rowsBefore = rows - this.store.rowsApplied;
    this.lsnBefore = lsn;
  }

  still() {
    return this.scene === 'idle' || this.scene === 'error' || this.scene === 'empty';
  }

  sample(ms, lsn, rows, lag = 0.021, retained = 0) {
    const error = this.scene === 'error' ? FAILURE : null;
    return {
      at: new Date(ms).toISOString(),
      state: error ? 'error' : 'streaming',
      current_lsn: printLsn(lsn + BigInt(Math.round(lag * 4000))),
      flushed_lsn: printLsn(lsn + BigInt(Math.round(lag * 3000))),
      applied_lsn: printLsn(lsn),
      lag_bytes: Math.round(lag * 4000),
      lag_seconds: error ? null : this.still() ? 0 : lag,
      waiting_bytes: Math.round(lag * 3000),
      wal_retained_bytes: Math.round(900_000 + retained * 20),
      log_bytes: this.scene === 'full' ? 43.4 * GB : 6.83 * GB + (rows % 1e7) * 40,
      log_bytes_max: 50 * GB,
      rows_applied: rows,
      transactions_applied: Math.round(rows / 6),
      error,
    };
  }

  /** A second passes. */
  tick() {
    const now = Date.now();
    if (!this.still()) this.finance.work(now, 6 + this.finance.random.below(14));
    const last = this.samples.at(-1);
    const rows = this.still() ? last.rows_applied : last.rows_applied + 150 + this.finance.random.below(160);
    const lag = this.still() ? 0 : 0.012 + this.finance.random.next() / 40;
    const sample = this.sample(
      now,
      this.still()
        ? this.lsnBefore
        : this.store.lsn + (this.lsnBefore > this.store.lsn ? this.lsnBefore - this.store.lsn : 0n),
      rows,
      lag,
    );
    if (!this.still()) this.lsnBefore += BigInt((rows - last.rows_applied) * 40);
    this.samples = [...this.samples.slice(-899), sample];
    for (const listen of this.listeners) listen(sample);
  }

  status() {
    const last = this.samples.at(-1);
    const resync = this.scene === 'resync';
    const tables =
      this.scene === 'empty'
        ? []
        : [...this.store.tables.values()].map((table) => ({
            name: table.name,
            warehouse_name: table.name.replace('operations', 'analytics'),
            state: resync && table.name.endsWith('products') ? 'needs_resync' : 'live',
            reason:
              resync && table.name.endsWith('products')
                ? 'its rows were rewritten by ALTER TABLE … TYPE … USING'
                : null,
            rows: this.store.rowsOf(table.name, null).length,
            history_rows: table.versions,
            history_since: new Date(this.finance.since).toISOString(),
            applied_lsn: last.applied_lsn,
            applied_at: last.at,
            uncertain:
              resync && table.name.endsWith('products')
                ? [
                    {
                      from: '0/16B3748',
                      to: null,
                      from_time: new Date(Date.now() - 420_000).toISOString(),
                      to_time: null,
                      reason: 'rewritten',
                    },
                  ]
                : [],
            quarantined: resync && table.name.endsWith('orders') ? 3 : 0,
            broken_dependents: [],
          }));
    return {
      name: 'finance',
      state: last.state,
      reason: null,
      source: {
        address: 'db.internal:5432/finance_db',
        slot: 'cdc_pgoutput',
        publication: 'cdc_publication',
        current_lsn: last.current_lsn,
        flushed_lsn: last.flushed_lsn,
        lag_bytes: last.lag_bytes,
        lag_seconds: last.lag_seconds,
        wal_retained_bytes: last.wal_retained_bytes,
      },
      log: {
        first_position: '14/9A0C5E10',
        last_position: last.flushed_lsn,
        bytes: last.log_bytes,
        bytes_max: 50 * GB,
      },
      warehouse: { applied_lsn: last.applied_lsn, bytes: 412_876_800, rebuilt: null },
      tables,
      error: last.error,
    };
  }
}
