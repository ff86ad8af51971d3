// Text can be read in both themes: WCAG's AA, 4.5 to 1, on every ground that it stands on.

import { describe, expect, it } from 'vitest';
import tokens from './tokens.css?raw';

type Palette = Map<string, string>;

function palettes(): { light: Palette; dark: Palette } {
  const [first = '', second = ''] = tokens.split(':root[data-theme="dark"]');
  const read = (text: string) =>
    new Map([...text.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map((match) => [match[1] ?? '', match[2] ?? '']));
  return { light: read(first), dark: read(second) };
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const GROUNDS = ['ground', 'surface', 'sunken', 'accent-soft'];
const PAIRS: [string, string[]][] = [
  ['text', [...GROUNDS, 'amber-soft', 'red-soft', 'earth', 'update-soft']],
  ['text-quiet', [...GROUNDS, 'earth', 'update-soft']],
  ['text-faint', [...GROUNDS, 'update-soft']],
  ['accent', GROUNDS],
  ['on-accent', ['accent', 'accent-strong']],
  ['amber', ['ground', 'surface', 'amber-soft']],
  ['red', ['ground', 'surface', 'red-soft']],
  ['insert', ['surface', 'insert-soft']],
  ['update', ['surface', 'update-soft']],
  ['delete', ['surface', 'delete-soft']],
];

describe.each(Object.entries(palettes()))('the %s theme', (_, palette) => {
  it.each(PAIRS)('has %s readable on what it stands on', (name, grounds) => {
    const found = grounds.map(
      (ground) => [ground, contrast(palette.get(name) ?? '', palette.get(ground) ?? '')] as const,
    );
    expect(found.filter(([, ratio]) => !(ratio >= 4.5))).toEqual([]);
  });
});
