// From samples to what the picture and the small multiples show: rates, widths, levels.

import type { Sample } from '../../api/contract';
import type { Point } from '../../charts/Sparkline';
import { bytesBetween } from '../../format/lsn';
import { parseInstant } from '../../format/time';

/** Rates are over the last seconds: long enough not to jump with each batch, short enough to stop when the stream does. */
const RATE_SECONDS = 5;

export interface Flow {
  /** Bytes of WAL that became durable in the log, a second. */
  captureBytes: number;
  /** Bytes of WAL that reached the warehouse, a second. */
  applyBytes: number;
  rows: number;
  transactions: number;
  /** WAL that is in the log and not in the warehouse yet. */
  waitingBytes: number;
}

function seconds(from: Sample, to: Sample): number {
  const start = parseInstant(from.at)?.ms ?? 0;
  const end = parseInstant(to.at)?.ms ?? 0;
  return Math.max(0, (end - start) / 1000);
}

/** A counter that went back was counted anew by a new process: nothing is known about the rate. */
function rise(from: number, to: number, over: number): number {
  return over > 0 && to >= from ? (to - from) / over : 0;
}

export function flowOf(samples: readonly Sample[]): Flow {
  const last = samples.at(-1);
  const first = samples.at(-1 - RATE_SECONDS) ?? samples[0];
  if (last === undefined || first === undefined) {
    return { captureBytes: 0, applyBytes: 0, rows: 0, transactions: 0, waitingBytes: 0 };
  }
  const over = seconds(first, last);
  return {
    captureBytes: rise(0, bytesBetween(first.flushed_lsn, last.flushed_lsn) ?? 0, over),
    applyBytes: rise(0, bytesBetween(first.applied_lsn, last.applied_lsn) ?? 0, over),
    rows: rise(first.rows_applied, last.rows_applied, over),
    transactions: rise(first.transactions_applied, last.transactions_applied, over),
    waitingBytes: last.waiting_bytes,
  };
}

/** Width of a stream in pixels: a trickle is seen, a thousand times as much is three times as wide. */
export function streamWidth(bytesPerSecond: number): number {
  return bytesPerSecond <= 0 ? 0 : Math.min(22, 3 + 2.6 * Math.log10(1 + bytesPerSecond / 100));
}

/** Pixels a second that the marks on the water move. */
export function streamSpeed(bytesPerSecond: number): number {
  return bytesPerSecond <= 0 ? 0 : Math.min(150, 24 + 20 * Math.log10(1 + bytesPerSecond / 1000));
}

/** Turns a second. One in three seconds is as fast as an eye can follow the paddles. */
export function wheelSpeed(rowsPerSecond: number): number {
  return rowsPerSecond <= 0 ? 0 : Math.min(0.33, 0.02 + 0.05 * Math.log10(1 + rowsPerSecond));
}

export function rowsRate(samples: readonly Sample[]): Point[] {
  return samples.map((sample, at) => {
    const before = samples[Math.max(0, at - RATE_SECONDS)];
    if (before === undefined || before === sample) return { at: sample.at, value: null };
    return { at: sample.at, value: rise(before.rows_applied, sample.rows_applied, seconds(before, sample)) };
  });
}

/** Seconds since the warehouse last moved on, at each sample; nothing before the first move that was seen. */
export function commitAge(samples: readonly Sample[]): Point[] {
  let moved: Sample | null = null;
  return samples.map((sample, at) => {
    const before = samples[at - 1];
    if (before !== undefined && before.applied_lsn !== sample.applied_lsn) moved = sample;
    return { at: sample.at, value: moved === null ? null : seconds(moved, sample) };
  });
}
