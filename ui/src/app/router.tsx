// Where the viewer is. The address holds everything that a page shows, so that it can be sent to somebody else.

import { type AnchorHTMLAttributes, type MouseEvent, useMemo, useSyncExternalStore } from 'react';

const BASE = '/ui';
const MOVED = 'millstream:moved';

export interface Place {
  /** Without the base: `/tables`, `/` for the overview. */
  path: string;
  query: URLSearchParams;
}

function subscribe(listener: () => void): () => void {
  window.addEventListener('popstate', listener);
  window.addEventListener(MOVED, listener);
  return () => {
    window.removeEventListener('popstate', listener);
    window.removeEventListener(MOVED, listener);
  };
}

function here(): string {
  return window.location.pathname + window.location.search;
}

export function usePlace(): Place {
  const address = useSyncExternalStore(subscribe, here);
  return useMemo(() => {
    const url = new URL(address, window.location.origin);
    const path = url.pathname.startsWith(BASE) ? url.pathname.slice(BASE.length) : url.pathname;
    return { path: path === '' ? '/' : path, query: url.searchParams };
  }, [address]);
}

/** Goes to a path of the UI. `replace` leaves no step behind to come back to: for what changes while dragging or typing. */
export function go(to: string, how: { replace?: boolean } = {}) {
  const address = BASE + to;
  if (address === here()) return;
  if (how.replace) window.history.replaceState(null, '', address);
  else window.history.pushState(null, '', address);
  window.dispatchEvent(new Event(MOVED));
}

/** Changes parameters of the address and leaves the others: null removes one. */
export function setQuery(change: Record<string, string | string[] | null>, how: { replace?: boolean } = {}) {
  const url = new URL(window.location.href);
  for (const [name, value] of Object.entries(change)) {
    url.searchParams.delete(name);
    for (const one of value === null ? [] : Array.isArray(value) ? value : [value]) url.searchParams.append(name, one);
  }
  go(url.pathname.slice(BASE.length) + url.search, how);
}

export function href(to: string): string {
  return BASE + to;
}

export function Link({ to, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { to: string }) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!plain || event.defaultPrevented || rest.target) return;
    event.preventDefault();
    go(to);
  };
  return <a {...rest} href={href(to)} onClick={follow} />;
}
