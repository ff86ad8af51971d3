// Pieces of SQL and Jinja.

import { describe, expect, it } from 'vitest';
import { piecesOf } from './pieces';

const kinds = (code: string) =>
  piecesOf(code)
    .filter(({ text }) => text.trim() !== '')
    .map(({ text, kind }) => [text.trim(), kind]);
const whole = (code: string) =>
  piecesOf(code)
    .map(({ text }) => text)
    .join('');

describe('code', () => {
  it('of SQL has keywords, texts, numbers and comments', () => {
    expect(kinds("select 'a', 12 from t -- why")).toEqual([
      ['select', 'code-keyword'],
      ["'a'", 'code-string'],
      [',', null],
      ['12', 'code-number'],
      ['from', 'code-keyword'],
      ['t', null],
      ['-- why', 'code-comment'],
    ]);
  });

  it('of Jinja is not read as SQL', () => {
    expect(kinds(`select {{ "it's" }} from {# a 'note #} t`)).toEqual([
      ['select', 'code-keyword'],
      [`{{ "it's" }}`, 'code-jinja'],
      ['from', 'code-keyword'],
      ["{# a 'note #}", 'code-comment'],
      ['t', null],
    ]);
  });

  it('inside a text is seen, and the text goes on behind it', () => {
    expect(kinds("where a = 'x{{ y }}z' and b")).toEqual([
      ['where', 'code-keyword'],
      ['a =', null],
      ["'x", 'code-string'],
      ['{{ y }}', 'code-jinja'],
      ["z'", 'code-string'],
      ['and', 'code-keyword'],
      ['b', null],
    ]);
  });

  it('has names in quotes that are no texts', () => {
    expect(kinds(`"main"."t" = 'x'`)).toEqual([
      ['"main"', 'code-name'],
      ['.', null],
      ['"t"', 'code-name'],
      ['=', null],
      ["'x'", 'code-string'],
    ]);
  });

  it('loses nothing, whatever it is', () => {
    const texts = ['', "select '", '{{', '{% if x %}\nselect 1\n{% endif', 'select {{ a }}{{ b }} "', 'é — 𝒳 {#'];
    for (const text of texts) expect(whole(text)).toBe(text);
  });
});
