// Numbers with their units, printed as the command line prints them.

const DASH = '–';

export function printSize(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return DASH;
  if (Math.abs(bytes) < 999.5) return `${Math.round(bytes)} B`;
  let value = bytes;
  for (const unit of ['kB', 'MB', 'GB']) {
    value /= 1000;
    if (Math.abs(value) < 999.95) return `${value.toFixed(1)} ${unit}`;
  }
  return `${(value / 1000).toFixed(1)} TB`;
}

/** Groups the digits of a whole or decimal number given as text, and loses none of them. */
export function groupDigits(number: string): string {
  const match = /^([+-]?)(\d+)(.*)$/s.exec(number);
  if (match === null) return number;
  const [, sign = '', whole = '', rest = ''] = match;
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, '\u202f') + rest;
}

export function printCount(count: number | null | undefined): string {
  return count === null || count === undefined ? DASH : groupDigits(String(Math.round(count)));
}

/** A rate per second: two digits below ten, whole from there on. */
export function printRate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return DASH;
  if (perSecond > 0 && perSecond < 9.95) return perSecond.toFixed(1);
  return printCount(perSecond);
}

export function printSeconds(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 0.0005) return '0 s';
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  return printSpan(seconds);
}

/** A span of at least a minute, in its two largest units. */
export function printSpan(seconds: number): string {
  const whole = Math.round(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0 s';
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(' ');
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${printCount(count)} ${count === 1 ? one : many}`;
}
