// The live tail: events gathered as they come, given to the page at most once a frame.

import { useEffect, useRef, useState } from 'react';
import { ask, type Problem, problemOf, withQuery } from '../../api/client';
import { type ChangeEvent, parseEvent } from '../../data/debezium';
import { isObject, type Json, parseLossless, printLossless } from '../../data/lossless';

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

async function latest(table: string, signal: AbortSignal): Promise<Json[]> {
  const path = withQuery('/api/changes', [
    ['table', table],
    ['limit', EARLIER],
  ]);
  const body = parseLossless(await (await ask(path, { signal })).text());
  return isObject(body) && Array.isArray(body.events) ? body.events : [];
}

const identity = (event: ChangeEvent) => `${event.transaction} ${event.order}`;

/** Puts what was asked for before what has come live since it was asked (ids from `mark` on), each event once. */
export function merge(events: ChangeEvent[], asked: ChangeEvent[], mark: number): ChangeEvent[] {
  const known = new Set(events.map(identity));
  const old = events.filter(({ id }) => id < mark);
  const live = events.filter(({ id }) => id >= mark);
  return [...old, ...asked.filter((event) => !known.has(identity(event))), ...live];
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
    let past = 0;
    waiting.current = [];
    setTail({ events: [], seen: 0, held: 0, state: 'connecting', problem: undefined });
    // Asked once the stream is open, and again when it is open again: what came in between is in the answer, and nothing is shown twice.
    const catchUp = () => {
      const mark = next;
      latest(table, abort.signal).then(
        (found) => {
          if (abort.signal.aborted) return;
          const asked = found.flatMap((event) => {
            past -= 1;
            return parseEvent(printLossless(event), past) ?? [];
          });
          setTail((before) => ({ ...before, problem: undefined, events: merge(before.events, asked, mark) }));
        },
        (error: unknown) => {
          if (!abort.signal.aborted) setTail((before) => ({ ...before, problem: problemOf(error) }));
        },
      );
    };
    const source = new EventSource(withQuery('/api/changes/stream', [['table', table]]));
    source.onopen = () => {
      setTail((before) => ({ ...before, state: 'live' }));
      catchUp();
    };
    source.onerror = () => {
      setTail((before) => ({ ...before, state: 'lost' }));
      // The stream says nothing about why it was refused; the same question without a stream does.
      if (source.readyState === EventSource.CLOSED) catchUp();
    };
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
