// Rows and columns, however many: only what is in sight is drawn. Everything the pointer does a key does too.

import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from 'react';
import type { Cell } from '../api/contract';
import { copyText } from '../app/Notes';
import { Link } from '../app/router';
import { type GridColumn, useWidths } from './columns';
import { toCsv } from './copying';
import type { Order } from './filters';
import { GridDetail } from './GridDetail';
import { GridRow } from './GridRow';
import { kindOf, shortType } from './types';
import { rowWindow, scrollToRow } from './window';

export const ROW_HEIGHT = 28;
export const GUTTER = 56;
const HEAD_HEIGHT = 46;

interface GridProps {
  label: string;
  columns: GridColumn[];
  total: number;
  rowAt: (index: number) => Cell[] | undefined;
  onNeed?: (first: number, last: number) => void;
  order?: Order | null;
  onOrder?: (column: string) => void;
  rowAddress?: (row: Cell[]) => string | null;
  onOpen?: (row: Cell[]) => void;
  onFilter?: (column: string, cell: Cell) => void;
  stale?: boolean;
}

interface Spot {
  row: number;
  column: number;
  /** The other end of the selected rows. */
  anchor: number;
}

export function Grid(props: GridProps) {
  const { label, columns, total, rowAt, onNeed, order, onOrder, rowAddress, onOpen, onFilter, stale } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 480, width: 800 });
  const [spot, setSpot] = useState<Spot>({ row: 0, column: 0, anchor: 0 });
  const [detail, setDetail] = useState(false);
  const [said, setSaid] = useState('');
  const widths = useWidths(columns, [rowAt(0), rowAt(1), rowAt(2), rowAt(3), rowAt(4), rowAt(5)], GUTTER);
  const bodyHeight = Math.max(ROW_HEIGHT, view.height - HEAD_HEIGHT);
  const { first, count, offset, height } = rowWindow(view.top, bodyHeight, total, ROW_HEIGHT);

  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const measure = () =>
      setView((before) => ({ ...before, height: element.clientHeight, width: element.clientWidth }));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (count > 0) onNeed?.(first, first + count - 1);
  }, [first, count, onNeed]);

  const row = Math.min(spot.row, Math.max(0, total - 1));
  const column = Math.min(spot.column, Math.max(0, columns.length - 1));
  const cells = rowAt(row);
  const active = columns[column];

  const reveal = (to: number, at: number) => {
    const element = scroller.current;
    if (element === null) return;
    element.scrollTop = scrollToRow(to, element.scrollTop, bodyHeight, total, ROW_HEIGHT);
    const left = widths.of.slice(0, at).reduce((sum, width) => sum + width, GUTTER);
    const pinned = GUTTER + (columns[0]?.key ? (widths.of[0] ?? 0) : 0);
    if (at > 0 && left - pinned < element.scrollLeft) element.scrollLeft = left - pinned;
    else if (at === 0) element.scrollLeft = 0;
    else if (left + (widths.of[at] ?? 0) > element.scrollLeft + element.clientWidth) {
      element.scrollLeft = left + (widths.of[at] ?? 0) - element.clientWidth;
    }
  };
  const move = (toRow: number, toColumn: number, extend: boolean) => {
    const next = Math.max(0, Math.min(total - 1, toRow));
    const at = Math.max(0, Math.min(columns.length - 1, toColumn));
    setSpot((before) => ({ row: next, column: at, anchor: extend ? before.anchor : next }));
    reveal(next, at);
  };
  const copy = () => {
    const [from, to] = [Math.min(row, spot.anchor), Math.max(row, spot.anchor)];
    const rows = Array.from({ length: to - from + 1 }, (_, at) => rowAt(from + at)).filter((one) => one !== undefined);
    const text = from === to ? (cells?.[column] ?? '') : toCsv(columns, rows);
    copyText(text).then(
      () => setSaid(from === to ? 'Value copied' : `${rows.length} rows copied as CSV`),
      () => setSaid('The browser refused to copy'),
    );
  };

  const press = (event: KeyboardEvent<HTMLDivElement>) => {
    if (event.target !== scroller.current || total === 0) return;
    const page = Math.max(1, Math.floor(bodyHeight / ROW_HEIGHT) - 1);
    const control = event.ctrlKey || event.metaKey;
    const moves: Record<string, () => void> = {
      ArrowDown: () => move(control ? total - 1 : row + 1, column, event.shiftKey),
      ArrowUp: () => move(control ? 0 : row - 1, column, event.shiftKey),
      ArrowRight: () => move(row, control ? columns.length - 1 : column + 1, event.shiftKey),
      ArrowLeft: () => move(row, control ? 0 : column - 1, event.shiftKey),
      PageDown: () => move(row + page, column, event.shiftKey),
      PageUp: () => move(row - page, column, event.shiftKey),
      Home: () => move(control ? 0 : row, 0, event.shiftKey),
      End: () => move(control ? total - 1 : row, columns.length - 1, event.shiftKey),
    };
    const acts: Record<string, () => void> = {
      Enter: () => (onOpen === undefined ? setDetail(true) : cells && onOpen(cells)),
      ' ': () => setDetail((open) => !open),
      Escape: () => setDetail(false),
      s: () => active && onOrder?.(active.name),
      f: () => active && cells && onFilter?.(active.name, cells[column] ?? null),
    };
    const act = moves[event.key] ?? (control || event.altKey ? undefined : acts[event.key]);
    if (control && event.key.toLowerCase() === 'c' && window.getSelection()?.isCollapsed !== false) copy();
    else if (act) act();
    else return;
    event.preventDefault();
  };

  const drag = (event: PointerEvent<HTMLElement>, name: string, width: number) => {
    event.preventDefault();
    event.stopPropagation();
    const handle = event.currentTarget;
    const from = event.clientX;
    handle.setPointerCapture(event.pointerId);
    const follow = (moved: globalThis.PointerEvent) => widths.resize(name, width + moved.clientX - from);
    const end = () => {
      handle.removeEventListener('pointermove', follow);
      handle.removeEventListener('pointerup', end);
      handle.removeEventListener('pointercancel', end);
    };
    handle.addEventListener('pointermove', follow);
    handle.addEventListener('pointerup', end);
    handle.addEventListener('pointercancel', end);
  };

  // On a narrow screen a pinned column would leave no room for the others.
  const pinned = columns[0]?.key === true && (widths.of[0] ?? 0) + GUTTER < view.width / 2;
  const [low, high] = [Math.min(row, spot.anchor), Math.max(row, spot.anchor)];

  return (
    <div className={`grid-around ${stale ? 'stale' : ''}`}>
      <div
        ref={scroller}
        className="grid"
        role="grid"
        aria-label={label}
        aria-rowcount={total + 1}
        aria-colcount={columns.length}
        aria-busy={stale}
        aria-activedescendant={total > 0 ? `cell-${row}-${column}` : undefined}
        tabIndex={0}
        onKeyDown={press}
        onScroll={(event) => {
          const top = event.currentTarget.scrollTop;
          setView((before) => (before.top === top ? before : { ...before, top }));
        }}
      >
        <div className="grid-inner" style={{ width: widths.total }}>
          <div className="grid-head" role="row" tabIndex={-1} aria-rowindex={1}>
            <span className="grid-gutter" role="columnheader" tabIndex={-1} aria-label="Row" />
            {columns.map((one, at) => {
              const sorted = order?.column === one.name ? (order.descending ? 'descending' : 'ascending') : undefined;
              const width = widths.of[at] ?? 0;
              return (
                <div
                  key={one.name}
                  role="columnheader"
                  tabIndex={-1}
                  aria-sort={sorted}
                  aria-colindex={at + 1}
                  className={`grid-name ${kindOf(one.type) === 'number' ? 'number' : ''} ${at === 0 && pinned ? 'pinned' : ''}`}
                  style={{ width }}
                >
                  <button
                    type="button"
                    className="head-button"
                    disabled={!onOrder}
                    tabIndex={-1}
                    title={onOrder ? `Sort by ${one.name}` : one.name}
                    onClick={() => onOrder?.(one.name)}
                  >
                    <span className="grid-name-text">{one.name}</span>
                    {sorted ? <span aria-hidden="true">{sorted === 'descending' ? ' ↓' : ' ↑'}</span> : null}
                  </button>
                  <span className="grid-type">
                    {shortType(one.type)}
                    {one.key ? ', key' : ''}
                  </span>
                  <span
                    className="grid-handle"
                    aria-hidden="true"
                    onPointerDown={(event) => drag(event, one.name, width)}
                  />
                </div>
              );
            })}
          </div>
          <div className="grid-body" style={{ height: Math.max(height, ROW_HEIGHT) }}>
            <div className="grid-rows" style={{ transform: `translateY(${offset}px)` }}>
              {Array.from({ length: count }, (_, at) => {
                const index = first + at;
                const values = rowAt(index);
                return (
                  <GridRow
                    key={index}
                    index={index}
                    cells={values}
                    columns={columns}
                    widths={widths.of}
                    pinned={pinned}
                    activeColumn={index === row ? column : -1}
                    selected={index >= low && index <= high && low !== high}
                    address={values && rowAddress ? rowAddress(values) : null}
                    link={Link}
                    onPoint={(at, extend) => {
                      setSpot((before) => ({ row: index, column: at, anchor: extend ? before.anchor : index }));
                      scroller.current?.focus({ preventScroll: true });
                    }}
                    onDetail={() => setDetail(true)}
                  />
                );
              })}
            </div>
          </div>
        </div>
      </div>
      {detail && active && cells !== undefined ? (
        <GridDetail column={active} cell={cells[column] ?? null} onClose={() => setDetail(false)} />
      ) : null}
      <span className="hidden" aria-live="polite">
        {said}
      </span>
    </div>
  );
}
