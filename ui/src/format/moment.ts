// A moment as a person types it: a position, a time with a zone, or a time of the viewer's own day.

import { parseLsn, printLsn } from './lsn';
import { parseInstant, printClock, printDay } from './time';

const LOCAL = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,6})?)?)?$/;

/** The form that the server takes (RFC 3339 in UTC, or an LSN); null where it is neither. */
export function parseMoment(typed: string): string | null {
  const text = typed.trim();
  const lsn = parseLsn(text);
  if (lsn !== null) return printLsn(lsn);
  const instant = parseInstant(text);
  if (instant !== null) return stamp(instant.ms, instant.fraction);
  const match = LOCAL.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = ''] = match;
  const date = new Date(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  // A date that does not exist would become another one without a word.
  return date.getDate() === Number(day) && date.getMonth() === Number(month) - 1
    ? stamp(date.getTime(), fraction)
    : null;
}

function stamp(ms: number, fraction: string): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}${fraction}Z`;
}

export function momentOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}Z`;
}

/** As it stands in a field: a position as it is, a time in the viewer's zone. */
export function printMoment(moment: string): string {
  const instant = parseInstant(moment);
  if (instant === null) return moment;
  const date = new Date(instant.ms);
  const below = instant.fraction.replace(/0+$/, '').replace(/^\.$/, '');
  return `${printDay(date)} ${printClock(date)}${below}`;
}

/**
 * Where on the slider an age stands, from 0 (when history begins) to 1 (now). The cube gives the last minutes as much room as the
 * days before: what people look for is mostly recent, and a straight scale over a week moves ten minutes a pixel.
 */
export function sliderAt(ageMs: number, spanMs: number): number {
  return spanMs <= 0 ? 1 : 1 - Math.cbrt(Math.min(1, Math.max(0, ageMs / spanMs)));
}

export function ageAt(slider: number, spanMs: number): number {
  return spanMs * (1 - slider) ** 3;
}
