// The drawing: moved by dragging or arrows, nearer and farther by the wheel or + and −. Only what is in sight is drawn.

import { type KeyboardEvent, type PointerEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { type Layout, LETTERS_MAX, NODE_HEIGHT, type Placed } from './layout';
import './graph.css';

/** What is wrong with a node: its colour, and the words for who does not see it. */
export interface Mark {
  level: 'amber' | 'red';
  says: string;
}

interface DrawingProps {
  /** What is drawn, in a word. */
  name: string;
  layout: Layout;
  /** The legend. */
  kinds: readonly string[];
  marks?: ReadonlyMap<string, Mark>;
  /** Left away where choosing a node leads elsewhere. */
  chosen?: string | null;
  /** All others step back. */
  near: ReadonlySet<string> | null;
  onChoose: (id: string | null) => void;
}

interface View {
  x: number;
  y: number;
  scale: number;
}

const SCALE_MAX = 1.5;
const SCALE_MIN = 0.03;
/** Below this size letters are dust; the boxes alone show the shape. */
const NAMES_FROM = 0.42;
const MARGIN = 24;
/** What stands over the drawing's lower edge: at first nothing is drawn under it. */
const TOOLS_HEIGHT = 44;

/** Smaller than this a drawing of everything says nothing: then it begins at the sources, and is moved. */
const WHOLE_MIN = 0.16;
/** A small one keeps its names readable instead. */
const NAMED_MIN = 0.62;
const SMALL_NODES_MAX = 150;
/** More edges than this would hide the nodes, if each were drawn in full. */
const DENSE_EDGES = 300;

/** All of it, where that can still be read. */
function wholeView(layout: Layout, width: number, height: number): View {
  const room = height - TOOLS_HEIGHT;
  const whole = Math.min((width - 2 * MARGIN) / layout.width, (room - 2 * MARGIN) / layout.height);
  const least = layout.nodes.length <= SMALL_NODES_MAX ? NAMED_MIN : WHOLE_MIN;
  const scale = Math.max(least, Math.min(1, whole));
  return {
    scale,
    x: Math.max(MARGIN, (width - layout.width * scale) / 2),
    y: (room - layout.height * scale) / 2,
  };
}

function edgePath(from: Placed, to: Placed): string {
  const [x1, y1] = [from.x + from.width, from.y + NODE_HEIGHT / 2];
  const [x2, y2] = [to.x, to.y + NODE_HEIGHT / 2];
  const bend = Math.max(30, (x2 - x1) / 2);
  return `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
}

interface NodeProps {
  node: Placed;
  named: boolean;
  away: boolean;
  mark: Mark | undefined;
  pressed: boolean | undefined;
  onClick: () => void;
  onEnter: () => void;
}

function Node({ node, named, away, mark, pressed, onClick, onEnter }: NodeProps) {
  const words = [`${node.kind} ${node.label}`, mark?.says].filter(Boolean).join(', ');
  const press = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    onEnter();
  };
  return (
    <g
      role="button"
      tabIndex={named ? 0 : -1}
      aria-label={words}
      aria-pressed={pressed}
      className={`map-node kind-${node.kind} ${named ? '' : 'small'} ${away ? 'away' : ''} ${mark?.level ?? ''}`}
      transform={`translate(${node.x} ${node.y})`}
      onClick={onClick}
      onKeyDown={press}
    >
      <title>{words}</title>
      <rect width={node.width} height={NODE_HEIGHT} rx={3} />
      <rect className="map-band" width={5} height={NODE_HEIGHT} rx={2} />
      {mark ? <rect className="map-mark" x={node.width - 5} width={5} height={NODE_HEIGHT} rx={2} /> : null}
      {named ? (
        // biome-ignore lint/a11y/noAriaHiddenOnFocusable: not focusable itself; its whole name is the node’s label
        <text x={14} y={18} aria-hidden="true">
          {node.label.length > LETTERS_MAX ? `${node.label.slice(0, LETTERS_MAX - 1)}…` : node.label}
        </text>
      ) : null}
    </g>
  );
}

export function Drawing({ name, layout, kinds, marks, chosen, near, onChoose }: DrawingProps) {
  const place = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [view, setView] = useState<View | null>(null);
  const dragged = useRef(false);

  // Measured before the first paint: an observer speaks after it, and until then nothing would be in sight.
  useLayoutEffect(() => {
    const element = place.current;
    if (element === null) return;
    const measure = () => setSize({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const shown = view ?? wholeView(layout, size.width || 800, size.height || 500);
  const zoom = (factor: number, atX = size.width / 2, atY = size.height / 2) =>
    setView((before) => {
      const from = before ?? shown;
      const scale = Math.max(SCALE_MIN, Math.min(SCALE_MAX, from.scale * factor));
      const ratio = scale / from.scale;
      return { scale, x: atX - (atX - from.x) * ratio, y: atY - (atY - from.y) * ratio };
    });
  const move = (x: number, y: number) =>
    setView((before) => ({ ...(before ?? shown), x: (before ?? shown).x + x, y: (before ?? shown).y + y }));

  // React listens to wheels passively, and then the page would scroll under the drawing.
  const turn = useRef(zoom);
  turn.current = zoom;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      turn.current(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    };
    element.addEventListener('wheel', wheel, { passive: false });
    return () => element.removeEventListener('wheel', wheel);
  }, []);

  const drag = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0) return;
    const element = event.currentTarget;
    let [x, y] = [event.clientX, event.clientY];
    const [startX, startY] = [x, y];
    dragged.current = false;
    const follow = (moved: globalThis.PointerEvent) => {
      if (!dragged.current && Math.hypot(moved.clientX - startX, moved.clientY - startY) < 4) return;
      if (!dragged.current) element.setPointerCapture(event.pointerId);
      dragged.current = true;
      move(moved.clientX - x, moved.clientY - y);
      [x, y] = [moved.clientX, moved.clientY];
    };
    const end = () => {
      element.removeEventListener('pointermove', follow);
      element.removeEventListener('pointerup', end);
      element.removeEventListener('pointercancel', end);
    };
    element.addEventListener('pointermove', follow);
    element.addEventListener('pointerup', end);
    element.addEventListener('pointercancel', end);
  };
  const press = (event: KeyboardEvent) => {
    const moves: Record<string, () => void> = {
      ArrowLeft: () => move(80, 0),
      ArrowRight: () => move(-80, 0),
      ArrowUp: () => move(0, 80),
      ArrowDown: () => move(0, -80),
      '+': () => zoom(1.25),
      '-': () => zoom(0.8),
      '0': () => setView(null),
    };
    const act = event.ctrlKey || event.metaKey ? undefined : moves[event.key];
    if (act === undefined) return;
    act();
    event.preventDefault();
  };

  const inSight = useMemo(() => {
    const left = -shown.x / shown.scale;
    const right = (size.width - shown.x) / shown.scale;
    const top = -shown.y / shown.scale - NODE_HEIGHT;
    const bottom = (size.height - shown.y) / shown.scale;
    return (node: Placed) => node.x + node.width >= left && node.x <= right && node.y >= top && node.y <= bottom;
  }, [shown, size]);
  const named = shown.scale >= NAMES_FROM;
  const away = (id: string) => near !== null && !near.has(id);

  return (
    <div className="map-around">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the arrows move the drawing */}
      {/* biome-ignore lint/a11y/noStaticElementInteractions: see above; the nodes are buttons */}
      <div ref={place} className="map" tabIndex={0} onPointerDown={drag} onKeyDown={press}>
        <svg
          width={size.width}
          height={size.height}
          aria-label={`${name} of ${layout.nodes.length} nodes`}
          role="group"
        >
          <g transform={`translate(${shown.x} ${shown.y}) scale(${shown.scale})`}>
            {layout.edges.map(({ from, to }) =>
              inSight(from) || inSight(to) ? (
                <path
                  key={`${from.id} ${to.id}`}
                  className={`map-edge ${away(from.id) || away(to.id) ? 'away' : near ? 'near' : layout.edges.length > DENSE_EDGES ? 'dense' : ''}`}
                  d={edgePath(from, to)}
                />
              ) : null,
            )}
            {layout.nodes.filter(inSight).map((node) => (
              <Node
                key={node.id}
                node={node}
                named={named}
                away={away(node.id)}
                mark={marks?.get(node.id)}
                pressed={chosen === undefined ? undefined : node.id === chosen}
                onClick={() => {
                  if (!dragged.current) onChoose(node.id === chosen ? null : node.id);
                }}
                onEnter={() => onChoose(node.id)}
              />
            ))}
          </g>
        </svg>
      </div>
      <div className="map-tools">
        <ul className="map-legend">
          {kinds.map((kind) => (
            <li key={kind}>
              <span className={`kind kind-${kind}`}>{kind}</span>
            </li>
          ))}
        </ul>
        <button type="button" className="button small" aria-label="Nearer" onClick={() => zoom(1.25)}>
          +
        </button>
        <button type="button" className="button small" aria-label="Farther" onClick={() => zoom(0.8)}>
          −
        </button>
        <button type="button" className="button small" onClick={() => setView(null)}>
          All of it
        </button>
      </div>
    </div>
  );
}
