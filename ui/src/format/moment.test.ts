// Moments as they are typed.

import { describe, expect, it } from 'vitest';
import { ageAt, parseMoment, printMoment, sliderAt } from './moment';

describe('a moment', () => {
  it('is a position', () => {
    expect(parseMoment(' 0/16b3748 ')).toBe('0/16B3748');
  });

  it('is a time with a zone, all its digits kept', () => {
    expect(parseMoment('2026-11-21T12:00:00.123456+02:00')).toBe('2026-11-21T10:00:00.123456Z');
  });

  it('is a time of the viewer’s own day', () => {
    const typed = parseMoment('2026-11-21 12:30') ?? '';
    expect(new Date(typed).getTime()).toBe(new Date(2026, 10, 21, 12, 30).getTime());
    expect(printMoment(typed)).toBe('2026-11-21 12:30:00');
  });

  it('is refused where it does not exist', () => {
    for (const text of ['', 'yesterday', '2026-02-30', '12:30']) expect(parseMoment(text)).toBeNull();
  });

  it('comes back from the slider', () => {
    for (const age of [0, 1000, 3_600_000, 86_400_000]) {
      expect(ageAt(sliderAt(age, 604_800_000), 604_800_000)).toBeCloseTo(age, 3);
    }
  });
});
