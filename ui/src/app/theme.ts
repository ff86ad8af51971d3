// Light, dark, or as the system has it. Set on the root element before the first paint.

import { useSyncExternalStore } from 'react';
import { recall, remember } from './memory';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'theme';
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

export function theme(): Theme {
  const kept = recall(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

export function applyTheme() {
  const chosen = theme();
  const isDark = chosen === 'dark' || (chosen === 'system' && dark.matches);
  document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
}

export function setTheme(next: Theme) {
  remember(KEY, next === 'system' ? null : next);
  applyTheme();
  for (const listener of listeners) listener();
}

dark.addEventListener('change', applyTheme);

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, theme);
}
