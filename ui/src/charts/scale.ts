// From values to pixels, and the round numbers that an axis names.

export interface Scale {
  min: number;
  max: number;
  at: (value: number) => number;
}

export function linear(min: number, max: number, from: number, to: number): Scale {
  const span = max - min || 1;
  return { min, max, at: (value) => from + ((value - min) / span) * (to - from) };
}

/** Some `count` round steps from `min` to `max`; the ends are widened to the steps around them. */
export function ticks(min: number, max: number, count: number): number[] {
  if (!Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  const span = max > min ? max - min : Math.abs(max) || 1;
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.floor(min / step);
  const last = Math.ceil((max > min ? max : min + span) / step);
  return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

/** A short form for an axis: 1.2k, 3M. */
export function printTick(value: number): string {
  const size = Math.abs(value);
  for (const [unit, name] of [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (size >= unit) return `${Number((value / unit).toPrecision(4))}${name}`;
  }
  return String(Number(value.toPrecision(4)));
}

/** An SVG path through the points, broken where a value is missing. */
export function linePath(points: ([number, number] | null)[]): string {
  let path = '';
  let drawing = false;
  for (const point of points) {
    if (point !== null) path += `${drawing ? 'L' : 'M'}${point[0].toFixed(1)},${point[1].toFixed(1)}`;
    drawing = point !== null;
  }
  return path;
}

/** The part of a ring from one share of the turn to another. */
export function ringPath(x: number, y: number, outer: number, inner: number, from: number, to: number): string {
  // A whole ring has no beginning, which an arc needs.
  const end = Math.min(to, from + 0.99999);
  const point = (radius: number, share: number) => {
    const angle = share * 2 * Math.PI - Math.PI / 2;
    return `${(x + radius * Math.cos(angle)).toFixed(2)},${(y + radius * Math.sin(angle)).toFixed(2)}`;
  };
  const large = end - from > 0.5 ? 1 : 0;
  return `M${point(outer, from)}A${outer},${outer} 0 ${large} 1 ${point(outer, end)}L${point(inner, end)}A${inner},${inner} 0 ${large} 0 ${point(inner, from)}Z`;
}
