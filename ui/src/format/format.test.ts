// Positions, quantities and times.

import { describe, expect, it } from 'vitest';
import { bytesBetween, isLsn, parseLsn, printLsn } from './lsn';
import { groupDigits, printRate, printSeconds, printSize, printSpan } from './quantity';
import { parseInstant, printAge, printUtc } from './time';

describe('positions', () => {
  it('are read and printed as PostgreSQL does', () => {
    for (const text of ['0/0', '0/16B3748', '1A/FF000028', 'FFFFFFFF/FFFFFFFF']) {
      expect(printLsn(parseLsn(text) ?? -1n)).toBe(text);
    }
    expect(parseLsn('16/B374D848')).toBe(97500059720n);
  });

  it('are refused where they are none', () => {
    for (const text of ['', '0', '0/', '/1', '0/123456789', 'G/1', '2026-11-21']) expect(isLsn(text)).toBe(false);
  });

  it('are subtracted across a segment of 4 GiB', () => {
    expect(bytesBetween('0/FFFFFFFF', '1/0')).toBe(1);
    expect(bytesBetween('1/0', '0/FFFFFFFF')).toBe(-1);
    expect(bytesBetween(null, '1/0')).toBeNull();
  });
});

describe('quantities', () => {
  it('have sizes as the command line prints them', () => {
    expect([0, 999, 1000, 999_949, 999_951, 50e9, 2.5e12].map(printSize)).toEqual([
      '0 B',
      '999 B',
      '1.0 kB',
      '999.9 kB',
      '1.0 MB',
      '50.0 GB',
      '2.5 TB',
    ]);
    expect(printSize(null)).toBe('–');
  });

  it('keep every digit when they are grouped', () => {
    const narrow = '\u202f';
    expect(groupDigits('9223372036854775807')).toBe('9 223 372 036 854 775 807'.replaceAll(' ', narrow));
    expect(groupDigits('-1234.56789')).toBe(`-1${narrow}234.56789`);
    expect(groupDigits('999')).toBe('999');
    expect(groupDigits('NaN')).toBe('NaN');
  });

  it('say rates and spans in the unit that fits', () => {
    expect([0, 0.25, 9.9, 12.4].map(printRate)).toEqual(['0', '0.3', '9.9', '12']);
    expect([0, 0.0421, 1.25, 61, 3600, 90061].map(printSeconds)).toEqual([
      '0 s',
      '42 ms',
      '1.3 s',
      '1 min 1 s',
      '1 h',
      '1 d 1 h',
    ]);
    expect(printSpan(0)).toBe('0 s');
  });
});

describe('times', () => {
  it('keep their digits below the millisecond', () => {
    expect(parseInstant('2026-11-21T12:00:00.123456Z')).toEqual({
      ms: Date.UTC(2026, 10, 21, 12, 0, 0, 123),
      fraction: '.123456',
    });
    expect(printUtc('2026-11-21 12:00:00.123456+05:30')).toBe('2026-11-21 06:30:00.123456 UTC');
    expect(printUtc('2026-11-21 00:30:00+01')).toBe('2026-11-20 23:30:00 UTC');
  });

  it('stay as they are where they are none', () => {
    expect(printUtc('infinity')).toBe('infinity');
    expect(parseInstant('2026-11-21')).toBeNull();
  });

  it('have an age', () => {
    const now = Date.UTC(2026, 10, 21, 12);
    const ages = ['2026-11-21T11:59:59.5Z', '2026-11-21T11:59:15Z', '2026-11-21T11:18:00Z', '2026-11-18T12:00:00Z'];
    expect(ages.map((at) => printAge(at, now))).toEqual(['now', '45 s ago', '42 min ago', '3 d ago']);
  });
});
