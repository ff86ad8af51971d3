// What this browser remembers. Where it refuses (private windows, full storage) nothing is remembered, and everything works.

const PREFIX = 'millstream.';

export function recall(key: string): string | null {
  try {
    return window.localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string | null) {
  try {
    if (value === null) window.localStorage.removeItem(PREFIX + key);
    else window.localStorage.setItem(PREFIX + key, value);
  } catch {
    // Nothing to do: the setting holds until the page is left.
  }
}
