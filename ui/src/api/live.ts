// The one stream that every page shares: a sample a second, and whether the server is there at all.

import { useSyncExternalStore } from 'react';
import type { Sample } from './contract';

export type Connection = 'connecting' | 'live' | 'lost';

export interface Live {
  connection: Connection;
  /** When the connection was lost. */
  since: Date | null;
  /** The last 15 minutes, oldest first. */
  samples: readonly Sample[];
}

/** 15 minutes of a sample a second, as the server keeps them. */
const SAMPLES_MAX = 900;
/** Samples come every second; five that are missing mean that nothing comes any more, though the socket may look open. */
const SILENCE_MS_MAX = 5000;
const RETRY_MS = 2000;

let live: Live = { connection: 'connecting', since: null, samples: [] };
const listeners = new Set<() => void>();
let source: EventSource | null = null;
let silence: ReturnType<typeof setTimeout> | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;

function publish(next: Live) {
  live = next;
  for (const listener of listeners) listener();
}

function lost() {
  if (live.connection !== 'lost') publish({ ...live, connection: 'lost', since: new Date() });
  source?.close();
  source = null;
  clearTimeout(silence);
  clearTimeout(retry);
  retry = setTimeout(connect, RETRY_MS);
}

function heard(samples: readonly Sample[]) {
  publish({ connection: 'live', since: null, samples: samples.slice(-SAMPLES_MAX) });
  clearTimeout(silence);
  silence = setTimeout(lost, SILENCE_MS_MAX);
}

function parsed(event: Event): unknown {
  try {
    return JSON.parse((event as MessageEvent<string>).data);
  } catch {
    return null;
  }
}

function connect() {
  source = new EventSource('/api/stream');
  source.addEventListener('history', (event) => {
    const samples = parsed(event);
    if (Array.isArray(samples)) heard(samples as Sample[]);
  });
  source.addEventListener('sample', (event) => {
    const sample = parsed(event) as Sample | null;
    if (sample !== null) heard([...live.samples, sample]);
  });
  source.onerror = lost;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (source === null && live.connection === 'connecting') connect();
  return () => listeners.delete(listener);
}

export function useLive(): Live {
  return useSyncExternalStore(subscribe, () => live);
}

const NOT_FOLLOWED = () => () => {};

/** The newest, where it is followed: the stream is not for every role. */
export function useLastSample(followed = true): Sample | undefined {
  return useSyncExternalStore(followed ? subscribe : NOT_FOLLOWED, () => live.samples[live.samples.length - 1]);
}
