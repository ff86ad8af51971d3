// The live tail: events gathered as they come, given to the page at most once a frame.

import { useEffect, useRef, useState } from 'react';
import { ask, type Problem, problemOf, withQuery } from '../../api/client';
import { type ChangeEvent, parseEvent, readEvent } from '../../data/debezium';
import { isObject, parseLossless } from '../../data/lossless';

/** What a person can look through; older events are in the log. */
export const EVENTS_MAX = 5000;
/** What is shown before the first live one. */
const EARLIER = 200;

export interface Tail {
  /** Newest last. */
  events: ChangeEvent[];
  /** All that came since the page was opened, also those that are no longer kept. */
  seen: number;
  /** Came while it was paused. */
  held: number;
  state: 'connecting' | 'live' | 'lost';
  problem: Problem | undefined;
}

async function earlier(table: string, signal: AbortSignal): Promise<ChangeEvent[]> {
  const response = await ask(
    withQuery('/api/changes', [
      ['table', table],
      ['limit', EARLIER],
    ]),
    { signal },
  );
  const body = parseLossless(await response.text());
  const events = isObject(body) && Array.isArray(body.events) ? body.events : [];
  return events.flatMap((event, at) => readEvent(event, at - events.length) ?? []);
}

export function useTail(table: string, paused: boolean): Tail {
  const [tail, setTail] = useState<Tail>({ events: [], seen: 0, held: 0, state: 'connecting', problem: undefined });
  const stopped = useRef(paused);
  stopped.current = paused;
  const waiting = useRef<ChangeEvent[]>([]);
  const frame = useRef(0);
  const flush = useRef(() => {});
  flush.current = () => {
    frame.current = 0;
    if (stopped.current) {
      setTail((before) => ({ ...before, held: waiting.current.length }));
      return;
    }
    const more = waiting.current;
    waiting.current = [];
    setTail((before) => ({
      ...before,
      events: [...before.events, ...more].slice(-EVENTS_MAX),
      seen: before.seen + more.length,
      held: 0,
    }));
  };

  useEffect(() => {
    const abort = new AbortController();
    let next = 0;
    waiting.current = [];
    setTail({ events: [], seen: 0, held: 0, state: 'connecting', problem: undefined });
    earlier(table, abort.signal).then(
      (events) => {
        if (!abort.signal.aborted) setTail((before) => ({ ...before, events: [...events, ...before.events] }));
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setTail((before) => ({ ...before, problem: problemOf(error) }));
      },
    );
    const source = new EventSource(withQuery('/api/changes/stream', [['table', table]]));
    source.onopen = () => setTail((before) => ({ ...before, state: 'live' }));
    source.onerror = () => setTail((before) => ({ ...before, state: 'lost' }));
    source.addEventListener('change', (message) => {
      const event = parseEvent((message as MessageEvent<string>).data, next);
      if (event === null) return;
      next += 1;
      waiting.current.push(event);
      // While it is paused nothing is shown, but what is kept has its bound all the same.
      if (waiting.current.length > EVENTS_MAX) waiting.current.shift();
      if (frame.current === 0) frame.current = requestAnimationFrame(() => flush.current());
    });
    return () => {
      abort.abort();
      source.close();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [table]);

  useEffect(() => {
    if (!paused && waiting.current.length > 0) flush.current();
  }, [paused]);

  return tail;
}
