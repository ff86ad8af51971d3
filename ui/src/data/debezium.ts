// Values as Debezium's converter writes them, turned back into what a person reads. docs/reference/events.md has the table.

import { printInstant } from '../format/time';
import { Exact, isObject, type Json, parseLossless, printFlat } from './lossless';

export type Operation = 'insert' | 'update' | 'delete' | 'other';

type Row = { [name: string]: Json } | null;

/**
 * One event. Thousands come a second and few are looked at, so what lists and filters need is read at once with the browser's own parser,
 * and the values, which must be exact, when they are asked for.
 */
export class ChangeEvent {
  /** Unique within a page. */
  readonly id: number;
  readonly operation: Operation;
  /** What Debezium calls it: c, u, d, t, m, r. */
  readonly op: string;
  readonly schema: string;
  readonly table: string;
  readonly lsn: string;
  readonly transaction: string;
  /** Its place in the transaction; with the transaction it is the event's identity. */
  readonly order: string;
  readonly committedMs: number;
  readonly #text: string;
  #whole: Json | undefined;

  constructor(id: number, text: string, envelope: Envelope) {
    const { source, transaction, op } = envelope;
    this.id = id;
    this.#text = text;
    this.op = String(op ?? '');
    this.operation = operationOf(this.op);
    this.schema = String(source.schema ?? '');
    this.table = String(source.table ?? '');
    // Exact up to 8 PB of WAL, and PostgreSQL's own tools count no further.
    this.lsn = String(source.lsn ?? '');
    this.transaction = String(transaction?.id ?? source.txId ?? '');
    this.order = String(transaction?.total_order ?? '');
    this.committedMs = Number(source.ts_ms);
  }

  get whole(): Json {
    this.#whole ??= parseLossless(this.#text);
    return this.#whole;
  }

  get before(): Row {
    return isObject(this.whole) && isObject(this.whole.before) ? this.whole.before : null;
  }

  get after(): Row {
    return isObject(this.whole) && isObject(this.whole.after) ? this.whole.after : null;
  }
}

interface Envelope {
  op?: unknown;
  source: { schema?: unknown; table?: unknown; lsn?: unknown; txId?: unknown; ts_ms?: unknown };
  transaction?: { id?: unknown; total_order?: unknown } | null;
}

export function operationOf(name: string): Operation {
  switch (name.toUpperCase()) {
    case 'C':
    case 'R':
    case 'INSERT':
    case 'SNAPSHOT':
      return 'insert';
    case 'U':
    case 'UPDATE':
      return 'update';
    case 'D':
    case 'DELETE':
      return 'delete';
    default:
      return 'other';
  }
}

export const OPERATION_NAMES: Record<string, string> = {
  c: 'insert',
  u: 'update',
  d: 'delete',
  t: 'truncate',
  m: 'message',
  r: 'snapshot',
};

/** Reads one event; null where it is not one. */
export function parseEvent(text: string, id: number): ChangeEvent | null {
  try {
    const envelope = JSON.parse(text) as Partial<Envelope> | null;
    if (envelope === null || typeof envelope.source !== 'object' || envelope.source === null) return null;
    return new ChangeEvent(id, text, envelope as Envelope);
  } catch {
    return null;
  }
}

function textAt(value: Json | undefined): string {
  return value === undefined || value === null ? '' : printFlat(value);
}

const DAY_MS = 86_400_000;

function bytesOf(base64: string): number[] | null {
  try {
    return Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

/** The unscaled value, big-endian two's complement, with its point put back. */
export function printDecimal(base64: string, scale: number): string {
  const bytes = bytesOf(base64);
  if (bytes === null || bytes.length === 0) return base64;
  let unscaled = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  if ((bytes[0] ?? 0) > 127) unscaled -= 1n << BigInt(bytes.length * 8);
  const sign = unscaled < 0n ? '-' : '';
  const digits = String(unscaled < 0n ? -unscaled : unscaled);
  if (scale <= 0) return sign + digits + '0'.repeat(-scale);
  const padded = digits.padStart(scale + 1, '0');
  return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`;
}

function printMicroseconds(micro: bigint, digits: number): string {
  const second = 1_000_000n;
  let whole = micro / second;
  let rest = micro % second;
  if (rest < 0n) {
    whole -= 1n;
    rest += second;
  }
  const date = new Date(Number(whole) * 1000);
  if (Number.isNaN(date.getTime())) return String(micro);
  const fraction = String(rest).padStart(6, '0').slice(0, digits);
  return `${date.toISOString().slice(0, -5).replace('T', ' ')}${digits > 0 ? `.${fraction}` : ''}`;
}

function precisionOf(type: string): number {
  const match = /\((\d)\)/.exec(type);
  return match === null ? 6 : Number(match[1]);
}

/** A value for a person, by the column's type at the source. What has no form of its own stays as it came. */
export function printValue(value: Json, sourceType: string | null | undefined): string | null {
  if (value === null) return null;
  const type = (sourceType ?? '').toLowerCase();
  const number = value instanceof Exact && /^-?\d+$/.test(value.text) ? BigInt(value.text) : null;
  if (type.startsWith('numeric') || type.startsWith('decimal')) {
    if (typeof value === 'string') {
      const scale = /,\s*(-?\d+)\)/.exec(type);
      return /[.]|NaN|Infinity/.test(value) ? value : printDecimal(value, scale === null ? 0 : Number(scale[1]));
    }
    if (isObject(value) && typeof value.value === 'string')
      return printDecimal(value.value, Number(textAt(value.scale)));
  }
  if (typeof value === 'string' && /^timestamp(tz|.* with time zone)/.test(type)) return printInstant(value);
  if (number === null) return printFlat(value);
  if (type === 'date') {
    const date = new Date(Number(number) * DAY_MS);
    return Number.isNaN(date.getTime()) ? String(number) : date.toISOString().slice(0, -14);
  }
  if (type.startsWith('timestamp')) {
    const digits = precisionOf(type);
    return printMicroseconds(digits <= 3 ? number * 1000n : number, digits);
  }
  if (type.startsWith('time')) {
    const digits = precisionOf(type);
    return printMicroseconds(digits <= 3 ? number * 1000n : number, digits).slice(11);
  }
  return String(number);
}

/** Names of the columns whose values differ between two rows. */
export function changedColumns(
  before: { [name: string]: Json } | null,
  after: { [name: string]: Json } | null,
): string[] {
  if (before === null || after === null) return [];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => printFlat(before[name] ?? null) !== printFlat(after[name] ?? null));
}
