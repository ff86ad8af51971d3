// Lines over an axis, most often time.

import { Frame, seriesColour } from './Frame';
import { linePath } from './scale';
import { largest, type Shape, smallest } from './shape';

export function Lines({ shape, title, height }: { shape: Shape; title: string; height: number }) {
  return (
    <Frame shape={shape} title={title} height={height} min={smallest(shape)} max={largest(shape, false)} banded={false}>
      {({ x, y, pointed }) =>
        shape.series.map(({ name, values }, at) => (
          <g key={name}>
            <path
              className="chart-course"
              stroke={seriesColour(at)}
              d={linePath(values.map((value, index) => (value === null ? null : [x(index), y.at(value)])))}
            />
            {values.map((value, index) =>
              value !== null && (index === pointed || values.length === 1) ? (
                // biome-ignore lint/suspicious/noArrayIndexKey: a place on the axis is its identity
                <circle key={index} cx={x(index)} cy={y.at(value)} r={3.5} fill={seriesColour(at)} />
              ) : null,
            )}
          </g>
        ))
      }
    </Frame>
  );
}
