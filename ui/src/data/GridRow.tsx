// One row of the grid. Drawn again only when it changed: scrolling draws new rows and leaves the others.

import { type ComponentType, memo } from 'react';
import type { Cell } from '../api/contract';
import type { GridColumn } from './columns';
import { kindOf } from './types';
import { Value } from './Value';

interface GridRowProps {
  index: number;
  cells: Cell[] | undefined;
  columns: GridColumn[];
  widths: number[];
  pinned: boolean;
  activeColumn: number;
  selected: boolean;
  address: string | null;
  link: ComponentType<{ to: string; className?: string; tabIndex?: number; children: string; 'aria-label'?: string }>;
  onPoint: (column: number, extend: boolean) => void;
  onDetail: () => void;
}

function same(before: GridRowProps, after: GridRowProps): boolean {
  return (
    before.index === after.index &&
    before.cells === after.cells &&
    before.columns === after.columns &&
    before.pinned === after.pinned &&
    before.activeColumn === after.activeColumn &&
    before.selected === after.selected &&
    before.address === after.address &&
    before.widths.length === after.widths.length &&
    before.widths.every((width, at) => width === after.widths[at])
  );
}

export const GridRow = memo(function GridRow(props: GridRowProps) {
  const {
    index,
    cells,
    columns,
    widths,
    pinned,
    activeColumn,
    selected,
    address,
    link: Link,
    onPoint,
    onDetail,
  } = props;
  const number = String(index + 1);
  return (
    <div
      role="row"
      tabIndex={-1}
      aria-rowindex={index + 2}
      aria-selected={selected}
      className={`grid-row ${index % 2 ? 'odd' : ''}`}
    >
      <span className="grid-gutter" role="rowheader" tabIndex={-1}>
        {address ? (
          <Link to={address} tabIndex={-1} aria-label={`Open row ${number}`}>
            {number}
          </Link>
        ) : (
          number
        )}
      </span>
      {columns.map((column, at) => {
        const numeric = kindOf(column.type) === 'number' ? 'number' : '';
        const held = at === 0 && pinned ? 'pinned' : '';
        const active = at === activeColumn ? 'active' : '';
        return (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the keys
          <div
            key={column.name}
            role="gridcell"
            tabIndex={-1}
            id={`cell-${index}-${at}`}
            aria-colindex={at + 1}
            className={`grid-cell ${numeric} ${held} ${active}`}
            style={{ width: widths[at] }}
            onClick={(event) => onPoint(at, event.shiftKey)}
            onDoubleClick={onDetail}
          >
            {cells === undefined ? (
              <span className="skeleton" />
            ) : (
              <Value cell={cells[at] ?? null} type={column.type} />
            )}
          </div>
        );
      })}
    </div>
  );
}, same);
