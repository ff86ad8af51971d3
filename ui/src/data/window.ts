// Which rows of a long table are in sight.

export interface RowWindow {
  first: number;
  count: number;
  /** Where the first row stands, from the top of what scrolls. */
  offset: number;
  /** The height of all rows as the scrollbar sees it. */
  height: number;
}

/** Browsers lay out no element higher than some 16 to 33 million pixels. */
const HEIGHT_MAX = 12_000_000;
/** Rows drawn beyond each edge, so that a quick scroll shows rows and not blanks. */
const BEYOND = 6;

/**
 * Up to the largest height that a browser lays out, a pixel of scrolling is a pixel of rows. Beyond it the scrollbar is a scale
 * of the whole: its ends are the table's ends, and the rows in between are spread over it.
 */
export function rowWindow(scrollTop: number, viewport: number, total: number, rowHeight: number): RowWindow {
  const full = total * rowHeight;
  const height = Math.min(full, HEIGHT_MAX);
  const travel = Math.max(1, height - viewport);
  const top = full <= HEIGHT_MAX ? scrollTop : (Math.min(scrollTop, travel) / travel) * (full - viewport);
  const first = Math.max(0, Math.floor(top / rowHeight) - BEYOND);
  const last = Math.min(total, Math.ceil((top + viewport) / rowHeight) + BEYOND);
  return { first, count: Math.max(0, last - first), offset: scrollTop + first * rowHeight - top, height };
}

/** Where to scroll so that a row is wholly in sight; the present place if it is already. */
export function scrollToRow(
  row: number,
  scrollTop: number,
  viewport: number,
  total: number,
  rowHeight: number,
): number {
  const full = total * rowHeight;
  const height = Math.min(full, HEIGHT_MAX);
  const travel = Math.max(1, height - viewport);
  const scale = full <= HEIGHT_MAX ? 1 : (full - viewport) / travel;
  const top = scrollTop * scale;
  if (row * rowHeight < top) return (row * rowHeight) / scale;
  if ((row + 1) * rowHeight > top + viewport) return ((row + 1) * rowHeight - viewport) / scale;
  return scrollTop;
}
