// Times: shown in the viewer's zone with every digit below the second that was sent, and in UTC beside it.

const INSTANT = /^(\d{4,6})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(\.\d+)?\s?(Z|[+-]\d\d(?::?\d\d)?)$/;

export interface Instant {
  /** Milliseconds since 1970, for arithmetic. */
  ms: number;
  /** The digits below the second as they came, with the point; a Date holds three of them. */
  fraction: string;
}

export function parseInstant(text: string): Instant | null {
  const match = INSTANT.exec(text);
  if (match === null) return null;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', fraction = '', zone = ''] = match;
  let offset = 0;
  if (zone !== 'Z') {
    const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
    offset = (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) * (zone.startsWith('-') ? -1 : 1);
  }
  const base = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  const ms = base - offset * 60_000 + Math.floor(Number(`0${fraction}`) * 1000);
  return Number.isNaN(ms) ? null : { ms, fraction };
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}

export function printClock(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function printDay(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** In the viewer's zone, with the digits below the second as they came. What is not a time stays as it is. */
export function printInstant(text: string): string {
  const instant = parseInstant(text);
  if (instant === null) return text;
  const date = new Date(Math.floor(instant.ms / 1000) * 1000);
  return `${printDay(date)} ${printClock(date)}${instant.fraction}`;
}

export function printUtc(text: string): string {
  const instant = parseInstant(text);
  if (instant === null) return text;
  const seconds = new Date(Math.floor(instant.ms / 1000) * 1000).toISOString().slice(0, 19);
  return `${seconds.replace('T', ' ')}${instant.fraction} UTC`;
}

/** To the second, for where what is finer would only be in the way. */
export function printInstantShort(text: string | null | undefined): string {
  const instant = text ? parseInstant(text) : null;
  if (instant === null) return text ?? '–';
  const date = new Date(instant.ms);
  return `${printDay(date)} ${printClock(date)}`;
}

/** Name and offset of the viewer's zone, such as `Europe/Lisbon, UTC+1`. */
export function zoneName(at = new Date()): string {
  const minutes = -at.getTimezoneOffset();
  const sign = minutes < 0 ? '−' : '+';
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  const offset = minutes === 0 ? 'UTC' : `UTC${sign}${hours}${rest ? `:${two(rest)}` : ''}`;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return !name || name === 'UTC' || name === 'Etc/UTC' ? offset : `${name}, ${offset}`;
}

/** How long ago, in its largest unit: `3 min ago`. */
export function printAge(text: string | null | undefined, nowMs: number): string {
  const instant = text ? parseInstant(text) : null;
  if (instant === null) return '–';
  const seconds = Math.max(0, (nowMs - instant.ms) / 1000);
  if (seconds < 1.5) return 'now';
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
