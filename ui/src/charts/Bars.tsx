// Bars, beside each other or stacked.

import { Frame, seriesColour } from './Frame';
import { largest, type Shape, smallest } from './shape';

export function Bars({
  shape,
  title,
  height,
  stacked,
}: {
  shape: Shape;
  title: string;
  height: number;
  stacked: boolean;
}) {
  const count = shape.series.length;
  return (
    <Frame shape={shape} title={title} height={height} min={smallest(shape)} max={largest(shape, stacked)} banded>
      {({ x, y, step, pointed }) => {
        const room = Math.max(1, Math.min(step * 0.78, stacked || count === 1 ? 48 : 26 * count));
        const each = stacked ? room : room / count;
        return shape.labels.map((label, index) => {
          let below = 0;
          return (
            <g key={label} opacity={pointed === null || pointed === index ? 1 : 0.55}>
              {shape.series.map(({ name, values }, at) => {
                const value = values[index];
                if (value === null || value === undefined || value === 0) return null;
                const from = stacked ? below : 0;
                if (stacked) below += Math.max(0, value);
                const top = Math.min(y.at(from), y.at(from + value));
                const bottom = Math.max(y.at(from), y.at(from + value));
                return (
                  <rect
                    key={name}
                    x={x(index) - room / 2 + (stacked ? 0 : at * each)}
                    y={top}
                    width={Math.max(1, each - (stacked || count === 1 ? 0 : 1))}
                    height={Math.max(1, bottom - top - (stacked ? 1 : 0))}
                    fill={seriesColour(at)}
                  />
                );
              })}
            </g>
          );
        });
      }}
    </Frame>
  );
}
