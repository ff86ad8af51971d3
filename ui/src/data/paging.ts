// A long table in pages, fetched as they come into sight. What an earlier question answered stays until the new answer is there.

import { useCallback, useEffect, useRef, useState } from 'react';
import { type Problem, problemOf } from '../api/client';
import type { Cell, Rows } from '../api/contract';

export const PAGE_ROWS = 200;
/** 60 pages of 200 rows: more than anybody scrolls over in a breath, and little memory. */
const PAGES_MAX = 60;
/** A quick scroll passes pages that nobody sees; only where it rests for this long is asked for. */
const REST_MS = 60;

interface Store {
  key: string;
  first: Rows;
  pages: Map<number, Cell[][]>;
  /** The number of rows, where the end has been seen or the server estimates it. */
  total: number;
  exact: boolean;
}

export interface Paged {
  first: Rows | undefined;
  total: number;
  exact: boolean;
  stale: boolean;
  error: Problem | undefined;
  rowAt: (index: number) => Cell[] | undefined;
  need: (first: number, last: number) => void;
  reload: () => void;
}

/** `first` is the first page's answer, so that the others can be asked for at its position. */
type Fetch = (offset: number, limit: number, signal: AbortSignal, first: Rows | undefined) => Promise<Rows>;

function withPage(store: Store, page: number, answer: Rows): Store {
  const pages = new Map(store.pages).set(page, answer.rows);
  for (const old of pages.keys()) {
    if (pages.size <= PAGES_MAX) break;
    if (old !== page && old !== 0) pages.delete(old);
  }
  const end = page * PAGE_ROWS + answer.rows.length;
  if (answer.rows.length < PAGE_ROWS && (answer.rows.length > 0 || page === 0))
    return { ...store, pages, total: end, exact: true };
  if (answer.rows.length === 0) return { ...store, pages, total: Math.min(store.total, page * PAGE_ROWS) };
  const seen = Math.max(store.total, store.exact ? 0 : end + PAGE_ROWS);
  return { ...store, pages, total: answer.total_estimate ?? seen };
}

export function usePaged(key: string, fetch: Fetch): Paged {
  const [store, setStore] = useState<Store | null>(null);
  const [error, setError] = useState<Problem>();
  const [turn, setTurn] = useState(0);
  const latest = useRef(fetch);
  latest.current = fetch;
  const asked = useRef(new Set<number>());
  const abort = useRef<AbortController | null>(null);
  const beginning = useRef<Rows>(undefined);
  const rest = useRef<ReturnType<typeof setTimeout>>(undefined);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new turn asks the same again
  useEffect(() => {
    const controller = new AbortController();
    abort.current = controller;
    asked.current = new Set([0]);
    beginning.current = undefined;
    latest.current(0, PAGE_ROWS, controller.signal, undefined).then(
      (answer) => {
        if (controller.signal.aborted) return;
        setError(undefined);
        beginning.current = answer;
        setStore(withPage({ key, first: answer, pages: new Map(), total: 0, exact: false }, 0, answer));
      },
      (problem: unknown) => {
        if (!controller.signal.aborted) setError(problemOf(problem));
      },
    );
    return () => controller.abort();
  }, [key, turn]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: after a new beginning what is in sight is needed anew
  const need = useCallback(
    (from: number, to: number) => {
      clearTimeout(rest.current);
      rest.current = setTimeout(() => {
        const controller = abort.current;
        const first = beginning.current;
        if (controller === null || first === undefined) return;
        for (let page = Math.floor(from / PAGE_ROWS); page <= Math.floor(to / PAGE_ROWS); page += 1) {
          if (asked.current.has(page)) continue;
          asked.current.add(page);
          latest.current(page * PAGE_ROWS, PAGE_ROWS, controller.signal, first).then(
            (answer) => {
              if (controller.signal.aborted) return;
              setStore((before) => {
                if (before === null) return before;
                const next = withPage(before, page, answer);
                // What was dropped to stay within the bound may be asked for again.
                asked.current = new Set(
                  [...asked.current].filter((one) => next.pages.has(one) || !before.pages.has(one)),
                );
                return next;
              });
            },
            (problem: unknown) => {
              if (controller.signal.aborted) return;
              asked.current.delete(page);
              setError(problemOf(problem));
            },
          );
        }
      }, REST_MS);
    },
    [store?.first],
  );

  const rowAt = useCallback(
    (index: number) => store?.pages.get(Math.floor(index / PAGE_ROWS))?.[index % PAGE_ROWS],
    [store],
  );
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  return {
    first: store?.first,
    total: store?.total ?? 0,
    exact: store?.exact ?? false,
    stale: store !== null && store.key !== key,
    error,
    rowAt,
    need,
    reload,
  };
}
