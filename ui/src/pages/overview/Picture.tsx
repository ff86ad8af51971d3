// The stream as a picture: spring, pond, wheel, channels. Everything drawn means a figure; idle, it lies still.
// Heights are chosen so that water only ever runs down: from the source's bed to the pond, through its sluice to the wheel at the
// height of the axle, and away beneath it.

import { type RefObject, useEffect, useRef } from 'react';
import { useWidth } from '../../charts/size';
import { printRate, printSize } from '../../format/quantity';
import { type Flow, streamSpeed, streamWidth, wheelSpeed } from './flow';
import type { Place, Trouble } from './trouble';

interface PictureProps {
  flow: Flow;
  logBytes: number;
  logBytesMax: number;
  troubles: Trouble[];
  served: { models: number | undefined; endpoints: number | undefined; dashboards: number | undefined };
  /** Nothing is known to move. */
  still: boolean;
}

const PADDLES = 12;
/** A pond with anything in it shows some water: seven days of a quiet database are a thousandth of the bound. */
const LEVEL_MIN = 0.07;
const FULL_WIDTH = 1080;

interface Motion {
  capture: number;
  apply: number;
  turn: number;
}

/** Moves the marks on the water and turns the wheel, as fast as the figures say; no frame is drawn while nothing moves. */
function useMotion(svg: RefObject<SVGSVGElement | null>, motion: Motion) {
  const latest = useRef(motion);
  latest.current = motion;
  const moves = motion.capture > 0 || motion.apply > 0 || motion.turn > 0;
  useEffect(() => {
    const still = window.matchMedia('(prefers-reduced-motion: reduce)');
    if (!moves || still.matches) return;
    const state = { capture: 0, apply: 0, turn: 0 };
    let before = performance.now();
    let frame = requestAnimationFrame(step);
    function step(now: number) {
      const seconds = Math.min(0.1, (now - before) / 1000);
      before = now;
      state.capture -= latest.current.capture * seconds;
      state.apply -= latest.current.apply * seconds;
      // The water falls on the wheel's left side, so that side goes down.
      state.turn -= latest.current.turn * 360 * seconds;
      for (const mark of svg.current?.querySelectorAll<SVGPathElement>('[data-flow]') ?? []) {
        mark.style.strokeDashoffset = String(mark.dataset.flow === 'capture' ? state.capture : state.apply);
      }
      svg.current?.querySelector('[data-wheel]')?.setAttribute('transform', `rotate(${state.turn % 360})`);
      frame = requestAnimationFrame(step);
    }
    return () => cancelAnimationFrame(frame);
  }, [moves, svg]);
}

function Stream({ path, width, flow }: { path: string; width: number; flow: 'capture' | 'apply' }) {
  if (width === 0) return <path className="picture-dry" d={path} />;
  return (
    <>
      <path className="picture-water" d={path} strokeWidth={width} />
      <path className="picture-mark" d={path} strokeWidth={Math.max(1, width / 7)} data-flow={flow} />
    </>
  );
}

function Wheel({ x, y, radius }: { x: number; y: number; radius: number }) {
  const angles = Array.from({ length: PADDLES }, (_, at) => (at / PADDLES) * 360);
  return (
    <g transform={`translate(${x} ${y})`} className="picture-wheel">
      <g data-wheel="">
        {angles.map((angle) => (
          <g key={angle} transform={`rotate(${angle})`}>
            <line x1={0} y1={0} x2={0} y2={-radius * 0.78} />
            <line className="picture-paddle" x1={0} y1={-radius * 0.76} x2={radius * 0.08} y2={-radius} />
          </g>
        ))}
        <circle r={radius * 0.78} />
        <circle r={radius * 0.56} />
        <circle className="picture-hub" r={radius * 0.13} />
      </g>
    </g>
  );
}

export function Picture({ flow, logBytes, logBytesMax, troubles, served, still }: PictureProps) {
  const [around, width] = useWidth<HTMLDivElement>();
  const svg = useRef<SVGSVGElement>(null);
  const capture = streamWidth(flow.captureBytes);
  const apply = streamWidth(flow.applyBytes);
  useMotion(svg, {
    capture: still ? 0 : streamSpeed(flow.captureBytes),
    apply: still ? 0 : streamSpeed(flow.applyBytes),
    turn: still ? 0 : wheelSpeed(flow.rows),
  });
  const mark = (place: Place) => troubles.find((trouble) => trouble.place === place)?.severity ?? '';

  const scale = Math.min(1, Math.max(0.5, width / FULL_WIDTH));
  const roomy = scale > 0.62;
  const of = (pixels: number) => pixels * scale;
  const column = width / 4;
  const height = of(252);
  const bed = of(96);
  const radius = Math.min(of(68), column * 0.42);
  const axle = of(158);
  const tail = axle + radius + of(4);
  const sourceX = column * 0.42;
  const pondLeft = column + of(14);
  const pondRight = column * 2 - of(26);
  const pondFloor = of(186);
  const slope = Math.min(of(30), column * 0.16);
  const wheelX = column * 2.5;
  const wheelLeft = wheelX - radius - of(4);
  const sluice = axle;

  const share = logBytesMax > 0 ? Math.min(1, logBytes / logBytesMax) : 0;
  const level = logBytes > 0 ? LEVEL_MIN + share * (1 - LEVEL_MIN) : 0;
  const rim = bed + of(6);
  const surface = pondFloor - level * (pondFloor - rim);
  const waiting = logBytes > 0 ? Math.min(1, flow.waitingBytes / logBytes) : 0;
  const waitingDepth = flow.waitingBytes > 0 ? Math.max(of(3), waiting * (pondFloor - surface)) : 0;
  const basin = `M${pondLeft},${bed}L${pondLeft + slope},${pondFloor}L${pondRight - slope},${pondFloor}L${pondRight},${bed}`;
  const ground = `M0,${bed}H${pondLeft}L${pondLeft + slope},${pondFloor}H${pondRight - slope}L${pondRight},${of(84)}h${of(14)}L${pondRight + of(20)},${sluice}H${wheelLeft}A${radius + of(4)},${radius + of(4)} 0 0 0 ${wheelX},${tail}H${width}V${height}H0Z`;
  const inflow = `M${sourceX},${bed - capture / 2}H${pondLeft}Q${pondLeft + slope * 0.9},${bed - capture / 2} ${pondLeft + slope * 0.95},${surface}`;
  const race = radius + of(4) - apply / 2;
  const outflow = `M${pondRight - slope * 0.6},${sluice - apply / 2}H${wheelX - race}A${race},${race} 0 0 0 ${wheelX},${axle + race}H${width}`;
  const gates = [
    { x: column * 3.2, name: 'models', count: served.models },
    { x: column * 3.52, name: 'endpoints', count: served.endpoints },
    { x: column * 3.84, name: 'dashboards', count: served.dashboards },
  ];

  return (
    <div ref={around} className="picture live" style={{ minHeight: 126 }}>
      {width > 0 ? (
        <svg ref={svg} width={width} height={height} aria-hidden="true">
          <clipPath id="basin">
            <path d={`${basin}Z`} />
          </clipPath>
          <path className="picture-ground" d={ground} />
          <g clipPath="url(#basin)" className={`picture-pond ${mark('log')}`}>
            <rect
              className="picture-held"
              x={pondLeft}
              y={surface}
              width={pondRight - pondLeft}
              height={pondFloor - surface}
            />
            <rect
              className="picture-waiting"
              x={pondLeft}
              y={surface}
              width={pondRight - pondLeft}
              height={waitingDepth}
            />
            {level > 0 ? (
              <line className="picture-surface" x1={pondLeft} x2={pondRight} y1={surface} y2={surface} />
            ) : null}
          </g>
          <Stream path={inflow} width={capture} flow="capture" />
          <Stream path={outflow} width={apply} flow="apply" />
          <path className={`picture-bank ${mark('log')}`} d={basin} />
          <path className="picture-bank" d={`M0,${bed}H${pondLeft}`} />
          <path
            className="picture-bank"
            d={`M${pondRight},${bed}V${of(84)}h${of(14)}L${pondRight + of(20)},${sluice}H${wheelLeft}A${radius + of(4)},${radius + of(4)} 0 0 0 ${wheelX},${tail}H${width}`}
          />
          <line className={`picture-bound ${mark('log')}`} x1={pondLeft + of(4)} x2={pondRight} y1={rim} y2={rim} />
          <g className={`picture-source ${mark('source')}`} transform={`translate(${sourceX} ${bed})`}>
            <path
              d={`M${-of(38)},${-of(66)}V${-of(10)}C${-of(38)},${of(4)} ${of(38)},${of(4)} ${of(38)},${-of(10)}V${-of(66)}`}
            />
            <ellipse cx={0} cy={-of(66)} rx={of(38)} ry={of(12)} />
            <path
              className="picture-thin"
              d={`M${-of(38)},${-of(48)}C${-of(38)},${-of(34)} ${of(38)},${-of(34)} ${of(38)},${-of(48)}`}
            />
            <path
              className="picture-thin"
              d={`M${-of(38)},${-of(30)}C${-of(38)},${-of(16)} ${of(38)},${-of(16)} ${of(38)},${-of(30)}`}
            />
          </g>
          <g className={mark('warehouse')}>
            <Wheel x={wheelX} y={axle} radius={radius} />
          </g>
          {gates.map((gate) => (
            <g key={gate.name} className={`picture-gate ${mark('served')}`}>
              <path d={`M${gate.x - of(9)},${tail}V${tail - of(44)}H${gate.x + of(9)}V${tail}`} />
            </g>
          ))}
          {roomy ? (
            <g className="picture-words">
              <text x={sourceX + of(52)} y={bed - of(30)}>
                {printSize(flow.captureBytes)}/s of WAL
              </text>
              <text x={(pondLeft + pondRight) / 2} y={rim - of(8)} textAnchor="middle">
                bound {printSize(logBytesMax)}
              </text>
              <text x={(pondLeft + pondRight) / 2} y={pondFloor + 18} textAnchor="middle">
                {printSize(logBytes)} held
              </text>
              <text x={wheelX + radius + of(12)} y={axle - radius + of(16)}>
                {printRate(flow.rows)} rows/s
              </text>
              {gates.map((gate) => (
                <text key={gate.name} className="picture-small" x={gate.x} y={tail - of(52)} textAnchor="middle">
                  {column > 228 ? `${gate.count ?? '–'} ${gate.name}` : (gate.count ?? '–')}
                </text>
              ))}
            </g>
          ) : null}
        </svg>
      ) : null}
    </div>
  );
}
