// What a page has asked for. While a new answer is on its way the old one stays, so that the page keeps its layout.

import { useCallback, useEffect, useRef, useState } from 'react';
import { getJson, type Problem, problemOf } from './client';

export interface Resource<T> {
  data: T | undefined;
  error: Problem | undefined;
  /** What is shown answers another question than the last one asked. */
  loading: boolean;
  reload: () => void;
}

/** Answers that another page may want again at once. Bounded, for a session can last for weeks. */
const KEPT_MAX = 64;
const kept = new Map<string, unknown>();

function keep(key: string, value: unknown) {
  kept.delete(key);
  kept.set(key, value);
  if (kept.size > KEPT_MAX) {
    const oldest = kept.keys().next().value;
    if (oldest !== undefined) kept.delete(oldest);
  }
}

/** Asks `load` whenever `key` changes; `null` asks nothing. */
export function useResource<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Resource<T> {
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{ key: string | null; data: T | undefined; error: Problem | undefined }>(() => ({
    key: null,
    data: key === null ? undefined : (kept.get(key) as T | undefined),
    error: undefined,
  }));
  const loader = useRef(load);
  loader.current = load;

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new turn is another try of the same question
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    loader.current(abort.signal).then(
      (data) => {
        if (abort.signal.aborted) return;
        keep(key, data);
        setState({ key, data, error: undefined });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setState((before) => ({ key, data: before.data, error: problemOf(error) }));
      },
    );
    return () => abort.abort();
  }, [key, turn]);

  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  return { data: state.data, error: state.error, loading: key !== null && state.key !== key, reload };
}

export function useJson<T>(path: string | null): Resource<T> {
  return useResource<T>(path, (signal) => getJson<T>(path ?? '', signal));
}

/** The same, asked again every `seconds` while the page is seen. */
export function usePolled<T>(path: string | null, seconds: number): Resource<T> {
  const resource = useJson<T>(path);
  const { reload } = resource;
  useEffect(() => {
    if (path === null) return;
    const timer = setInterval(() => {
      if (!document.hidden) reload();
    }, seconds * 1000);
    return () => clearInterval(timer);
  }, [path, reload, seconds]);
  return resource;
}
