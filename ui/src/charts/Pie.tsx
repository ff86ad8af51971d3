// Shares of a whole, as a ring, with each share written beside it: nobody reads angles exactly.

import { printNumber, seriesColour } from './Frame';
import { ringPath } from './scale';
import type { Shape } from './shape';

/** Thinner slices than the eighth are told apart by nobody. */
const SLICES_MAX = 8;

interface Slice {
  label: string;
  value: number;
}

export function slicesOf(shape: Shape): Slice[] {
  const all = shape.labels
    .map((label, at) => ({
      label,
      value: shape.series.reduce((sum, { values }) => sum + Math.max(0, values[at] ?? 0), 0),
    }))
    .filter(({ value }) => value > 0)
    .sort((a, b) => b.value - a.value);
  if (all.length <= SLICES_MAX) return all;
  const rest = all.slice(SLICES_MAX - 1).reduce((sum, { value }) => sum + value, 0);
  return [...all.slice(0, SLICES_MAX - 1), { label: 'others', value: rest }];
}

export function Pie({ shape, title, height }: { shape: Shape; title: string; height: number }) {
  const slices = slicesOf(shape);
  const total = slices.reduce((sum, { value }) => sum + value, 0);
  const size = Math.min(height, 200);
  let from = 0;
  return (
    <figure className="chart chart-pie">
      <svg width={size} height={size} role="img" aria-label={`${title}: ${slices.length} shares`}>
        {slices.map(({ label, value }, at) => {
          const start = from;
          from += value / total;
          return (
            <path
              key={label}
              d={ringPath(size / 2, size / 2, size / 2 - 2, size / 3.4, start, from)}
              fill={seriesColour(at)}
              className="chart-slice"
            />
          );
        })}
      </svg>
      <table className="chart-shares">
        <tbody>
          {slices.map(({ label, value }, at) => (
            <tr key={label}>
              <td>
                <span className="chart-swatch" style={{ background: seriesColour(at) }} />
                {label}
              </td>
              <td className="data number">{printNumber(value)}</td>
              <td className="data number faint">{((value / total) * 100).toFixed(1)} %</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}
