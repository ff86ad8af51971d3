// One figure over the last minutes: its name, its present value, its course. Drawn small, several beside each other.

import { type PointerEvent, useState } from 'react';
import { parseInstant, printClock } from '../format/time';
import { linear, linePath } from './scale';
import { useWidth } from './size';

export interface Point {
  at: string;
  value: number | null;
}

interface SparklineProps {
  name: string;
  points: Point[];
  print: (value: number | null) => string;
  /** The top of the axis is at least this, so that noise around nothing does not look like a mountain. */
  least: number;
  spanMs: number;
  trouble?: boolean;
}

const HEIGHT = 72;

export function Sparkline({ name, points, print, least, spanMs, trouble }: SparklineProps) {
  const [around, width] = useWidth<HTMLDivElement>();
  const [pointed, setPointed] = useState<number | null>(null);
  const times = points.map(({ at }) => parseInstant(at)?.ms ?? 0);
  const end = times.at(-1) ?? 0;
  const values = points.map(({ value }) => value ?? 0);
  const top = Math.max(least, ...values);
  const x = linear(end - spanMs, end, 1, Math.max(2, width - 1));
  const y = linear(0, top, HEIGHT - 1, 4);
  const drawn = points.map(({ value }, at): [number, number] | null =>
    value === null ? null : [x.at(times[at] ?? 0), y.at(value)],
  );
  const line = linePath(drawn);
  const firstX = drawn.find((point) => point !== null)?.[0];
  const lastX = drawn.findLast((point) => point !== null)?.[0];
  const area = line && !line.slice(1).includes('M') ? `${line}L${lastX},${HEIGHT}L${firstX},${HEIGHT}Z` : '';

  const point = (event: PointerEvent<SVGSVGElement>) => {
    const wanted = event.clientX - event.currentTarget.getBoundingClientRect().left;
    let best = -1;
    drawn.forEach((one, at) => {
      if (one && (best === -1 || Math.abs(one[0] - wanted) < Math.abs((drawn[best]?.[0] ?? 0) - wanted))) best = at;
    });
    setPointed(best === -1 ? null : best);
  };
  const shown = pointed !== null && pointed < points.length ? pointed : null;
  const spot = shown === null ? null : drawn[shown];
  const value = shown === null ? (points.at(-1)?.value ?? null) : (points[shown]?.value ?? null);

  return (
    <figure className={`sparkline card ${trouble ? 'trouble' : ''}`}>
      <figcaption className="sparkline-head">
        <span className="sparkline-name">{name}</span>
        <span className="sparkline-when">{shown === null ? 'now' : printClock(new Date(times[shown] ?? 0))}</span>
      </figcaption>
      <p className="sparkline-value">{print(value)}</p>
      <div ref={around} style={{ height: HEIGHT }}>
        {width > 0 ? (
          <svg
            width={width}
            height={HEIGHT}
            role="img"
            aria-label={`${name} over the last 15 minutes, at most ${print(Math.max(0, ...values))}`}
            onPointerMove={point}
            onPointerLeave={() => setPointed(null)}
          >
            <line className="chart-base" x1={0} x2={width} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
            {area ? <path className="sparkline-area" d={area} /> : null}
            <path className="sparkline-line" d={line} />
            {spot ? (
              <>
                <line className="chart-cross" x1={spot[0]} x2={spot[0]} y1={0} y2={HEIGHT} />
                <circle className="chart-spot" cx={spot[0]} cy={spot[1]} r={3} />
              </>
            ) : null}
          </svg>
        ) : null}
      </div>
      <p className="sparkline-foot">
        <span>15 min ago</span>
        <span>at most {print(Math.max(0, ...values))}</span>
        <span>now</span>
      </p>
    </figure>
  );
}
