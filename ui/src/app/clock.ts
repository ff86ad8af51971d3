// The present, for what says how long ago something was. One timer for the whole page.

import { useSyncExternalStore } from 'react';
import { printAge } from '../format/time';

let now = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const one of listeners) one();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** How long ago it was. What is a second older and reads the same is not drawn again: lists have hundreds of them. */
export function useAge(at: string | null | undefined): string {
  return useSyncExternalStore(subscribe, () => printAge(at, now));
}
