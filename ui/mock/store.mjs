// Tables with their history in memory: enough of a warehouse for the UI to be developed and tested against.

const LSN_START = 0x16_b374_d848n;

export function printLsn(lsn) {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

export function parseLsn(text) {
  const match = /^([0-9a-f]+)\/([0-9a-f]+)$/i.exec(text);
  return match ? (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`) : null;
}

export class Store {
  constructor(tables) {
    this.tables = new Map(tables.map((table) => [table.name, { ...table, rows: new Map(), versions: 0 }]));
    this.lsn = LSN_START;
    this.xid = 740_112;
    this.rowsApplied = 0;
    this.transactionsApplied = 0;
    this.events = [];
    this.listeners = new Set();
    this.touched = new Map();
  }

  /** Applies changes as one transaction: `[table, key, row or null]`. */
  commit(changes, ms, { snapshot = false } = {}) {
    this.lsn += BigInt(64 + changes.length * 180);
    this.xid += 1;
    const lsn = this.lsn;
    const at = new Date(ms).toISOString();
    changes.forEach(([name, key, row], index) => {
      const table = this.tables.get(name);
      const versions = table.rows.get(key) ?? [];
      table.rows.set(key, versions);
      const last = versions.at(-1);
      const open = last && last.valid_to === null && last.operation !== 'DELETE' ? last : undefined;
      const operation = snapshot ? 'SNAPSHOT' : row === null ? 'DELETE' : open ? 'UPDATE' : 'INSERT';
      if (open) Object.assign(open, { valid_to: at, lsn_to: lsn, seq_to: index + 1 });
      versions.push({
        values: row ?? open?.values ?? [],
        valid_from: at,
        valid_to: row === null ? at : null,
        operation,
        lsn,
        seq: index + 1,
        lsn_to: row === null ? lsn : null,
        seq_to: row === null ? index + 1 : null,
      });
      table.versions += 1;
      this.rowsApplied += 1;
      if (!snapshot) this.publish(table, operation, open?.values ?? null, row, ms, lsn, index + 1);
    });
    this.transactionsApplied += 1;
    if (!snapshot)
      this.touched.set(
        lsn,
        changes.map(([name, , row]) => [name, row === null ? 'DELETE' : '']),
      );
    return lsn;
  }

  publish(table, operation, before, after, ms, lsn, order) {
    const image = (values) =>
      values &&
      Object.fromEntries(table.columns.map((column, at) => [column.name, wire(values[at], column.source_type)]));
    const event = JSON.stringify({
      before: image(before),
      after: image(after),
      source: {
        version: '0.1.0',
        connector: 'postgresql',
        name: 'finance',
        ts_ms: ms,
        snapshot: 'false',
        db: 'finance_db',
        sequence: `["${lsn - 40n}","${lsn}"]`,
        ts_us: ms * 1000,
        ts_ns: '\u0000ns',
        schema: 'operations',
        table: table.name.split('.')[1],
        txId: this.xid,
        lsn: Number(lsn),
        xmin: null,
      },
      transaction: { id: `${this.xid}:${lsn}`, total_order: order, data_collection_order: order },
      op: { INSERT: 'c', UPDATE: 'u', DELETE: 'd' }[operation],
      ts_ms: ms + 4,
    }).replace('"\\u0000ns"', `${ms}000000`);
    this.events.push({ table: table.name, text: event });
    if (this.events.length > 4000) this.events.splice(0, 1000);
    for (const listen of this.listeners) listen(table.name, event);
  }

  /** The rows of a table, now or as of a moment. */
  rowsOf(name, asOf) {
    const table = this.tables.get(name);
    const found = [];
    for (const versions of table.rows.values()) {
      const version = asOf === null ? versions.at(-1) : versions.find((one) => visible(one, asOf));
      if (version && version.operation !== 'DELETE' && (asOf !== null || version.valid_to === null))
        found.push(version.values);
    }
    return found;
  }
}

function visible(version, asOf) {
  if (version.operation === 'DELETE') return false;
  if (typeof asOf === 'bigint') return version.lsn <= asOf && (version.lsn_to === null || asOf < version.lsn_to);
  const from = Date.parse(version.valid_from);
  return from <= asOf && (version.valid_to === null || asOf < Date.parse(version.valid_to));
}

/** A value as Debezium's converter writes it. */
function wire(cell, type) {
  if (cell === null || cell === undefined) return null;
  if (type === 'bigint' || type === 'integer') return Number(cell);
  if (type === 'boolean') return cell === 'true';
  if (type === 'date') return Math.floor(Date.parse(`${cell}T00:00:00Z`) / 86_400_000);
  if (type.startsWith('numeric')) {
    let unscaled = Math.round(Number(cell) * 100);
    const bytes = [];
    do {
      bytes.unshift(unscaled & 255);
      unscaled >>= 8;
    } while (unscaled > 0);
    if (bytes[0] > 127) bytes.unshift(0);
    return Buffer.from(bytes).toString('base64');
  }
  return cell;
}
