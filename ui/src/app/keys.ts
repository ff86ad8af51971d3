// Keys that work on a whole page. A key pressed while typing belongs to what is typed into.

import { useEffect, useRef } from 'react';

export function isTyping(target: EventTarget | null): boolean {
  const element = target instanceof HTMLElement ? target : null;
  return element !== null && (element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName));
}

/** Calls `act` for a plain key, such as `/`, anywhere on the page but in a field. */
export function useKey(key: string, act: () => void) {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      // The editor lives in a shadow root, which hides what inside it was typed into.
      if (isTyping(event.composedPath()[0] ?? null) || document.querySelector('dialog[open]')) return;
      event.preventDefault();
      latest.current();
    };
    window.addEventListener('keydown', listen);
    return () => window.removeEventListener('keydown', listen);
  }, [key]);
}

export interface Shortcut {
  keys: string[];
  does: string;
}

export const SHORTCUTS: { where: string; list: Shortcut[] }[] = [
  {
    where: 'Everywhere',
    list: [
      { keys: ['Ctrl', 'K'], does: 'go to a page, table, model, endpoint, dashboard or saved query' },
      { keys: ['?'], does: 'this help' },
      { keys: ['Esc'], does: 'close what is open' },
    ],
  },
  {
    where: 'In rows',
    list: [
      { keys: ['←', '→', '↑', '↓'], does: 'move; with Shift, select rows' },
      { keys: ['Home', 'End'], does: 'first and last column; with Ctrl, first and last row' },
      { keys: ['Page up', 'Page down'], does: 'a page up or down' },
      { keys: ['Enter'], does: 'open the row and its history' },
      { keys: ['Space'], does: 'open the value beside the rows' },
      { keys: ['Ctrl', 'C'], does: 'copy the value, or the selected rows as CSV' },
      { keys: ['s'], does: 'sort by the column: up, down, not at all' },
      { keys: ['f'], does: 'keep only rows with this value' },
      { keys: ['/'], does: 'filter' },
    ],
  },
  {
    where: 'SQL',
    list: [
      { keys: ['Ctrl', 'Enter'], does: 'run' },
      { keys: ['Ctrl', 'Space'], does: 'complete' },
    ],
  },
  {
    where: 'Models',
    list: [
      { keys: ['/'], does: 'filter; Enter opens the first that is found' },
      { keys: ['←', '→', '↑', '↓'], does: 'in the graph, move it; + and − nearer and farther, 0 all of it' },
    ],
  },
  {
    where: 'Changes',
    list: [
      { keys: ['p'], does: 'pause and go on' },
      { keys: ['↑', '↓'], does: 'the change before or after' },
    ],
  },
];
