// What charts with two axes share: the axes, the legend, and the values at the place that is pointed at.

import { type PointerEvent, type ReactNode, useState } from 'react';
import { groupDigits } from '../format/quantity';
import { linear, printTick, type Scale, ticks } from './scale';
import type { Shape } from './shape';
import { useWidth } from './size';

const LEFT = 48;
const BOTTOM = 24;
const TOP = 8;
/** Room that a label across needs, in pixels. */
const LABEL_WIDTH = 100;
/** Letters of a label across: with some six pixels each they fit into its room. */
const LABEL_LETTERS_MAX = 14;

interface FrameProps {
  shape: Shape;
  title: string;
  height: number;
  min: number;
  max: number;
  /** Where a label stands: in the middle of its part of the width, or the first and last at the ends. */
  banded: boolean;
  children: (place: { x: (at: number) => number; y: Scale; step: number; pointed: number | null }) => ReactNode;
}

export function seriesColour(at: number): string {
  return `var(--series-${(at % 8) + 1})`;
}

export function Legend({ shape }: { shape: Shape }) {
  if (shape.series.length < 2) return null;
  return (
    <ul className="chart-legend">
      {shape.series.map(({ name }, at) => (
        <li key={name}>
          <span className="chart-swatch" style={{ background: seriesColour(at) }} />
          {name}
        </li>
      ))}
    </ul>
  );
}

export function printNumber(value: number | null): string {
  return value === null ? '–' : groupDigits(String(Number(value.toPrecision(12))));
}

export function Frame({ shape, title, height, min, max, banded, children }: FrameProps) {
  const [around, width] = useWidth<HTMLDivElement>();
  const [pointed, setPointed] = useState<number | null>(null);
  const steps = ticks(min, max, Math.max(2, Math.floor(height / 52)));
  const bottom = height - BOTTOM;
  const y = linear(steps[0] ?? min, steps.at(-1) ?? max, bottom, TOP);
  const count = shape.labels.length;
  const inner = Math.max(1, width - LEFT - 8);
  const step = banded ? inner / count : inner / Math.max(1, count - 1);
  const x = (at: number) => LEFT + (banded ? (at + 0.5) * step : count === 1 ? inner / 2 : at * step);
  const every = Math.max(1, Math.ceil((count * LABEL_WIDTH) / inner));

  // A label that would leave the chart ends at its edge, and so needs room beside the one before it.
  const isCut = (at: number) => x(at) + LABEL_WIDTH / 2 > width;
  const isNamed = (at: number) => at % every === 0 && (at === 0 || !isCut(at) || every * step > LABEL_WIDTH * 1.5);

  const point = (event: PointerEvent<SVGSVGElement>) => {
    const from = event.clientX - event.currentTarget.getBoundingClientRect().left - LEFT;
    const at = banded ? Math.floor(from / step) : Math.round(from / step);
    setPointed(at >= 0 && at < count ? at : null);
  };

  return (
    <figure className="chart">
      <Legend shape={shape} />
      <div ref={around} className="chart-place" style={{ height }}>
        {width > 0 ? (
          <svg
            width={width}
            height={height}
            role="img"
            aria-label={`${title}: ${shape.series.length} series of ${count} values`}
            onPointerMove={point}
            onPointerLeave={() => setPointed(null)}
          >
            {steps.map((value) => (
              <g key={value}>
                <line
                  className={value === 0 ? 'chart-base' : 'chart-line'}
                  x1={LEFT}
                  x2={width}
                  y1={y.at(value)}
                  y2={y.at(value)}
                />
                <text className="chart-label" x={LEFT - 8} y={y.at(value) + 4} textAnchor="end">
                  {printTick(value)}
                </text>
              </g>
            ))}
            {shape.labels.map((label, at) =>
              isNamed(at) ? (
                <text
                  key={label}
                  className="chart-label"
                  x={Math.min(width - 4, x(at))}
                  y={height - 6}
                  textAnchor={!banded && at === 0 ? 'start' : isCut(at) ? 'end' : 'middle'}
                >
                  {label.length > LABEL_LETTERS_MAX ? `${label.slice(0, LABEL_LETTERS_MAX - 1)}…` : label}
                </text>
              ) : null,
            )}
            {pointed !== null && !banded ? (
              <line className="chart-cross" x1={x(pointed)} x2={x(pointed)} y1={TOP} y2={bottom} />
            ) : null}
            {children({ x, y, step, pointed })}
          </svg>
        ) : null}
        {pointed !== null ? (
          <div
            className="chart-tip"
            style={x(pointed) > width / 2 ? { right: width - x(pointed) + 12 } : { left: x(pointed) + 12 }}
          >
            <p>{shape.labels[pointed]}</p>
            {shape.series.map(({ name, values }, at) =>
              values[pointed] === null && shape.series.length > 1 ? null : (
                <p key={name}>
                  <span className="chart-swatch" style={{ background: seriesColour(at) }} />
                  {name} <strong>{printNumber(values[pointed] ?? null)}</strong>
                </p>
              ),
            )}
          </div>
        ) : null}
      </div>
    </figure>
  );
}
