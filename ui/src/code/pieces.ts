// SQL, with or without Jinja, as pieces that are coloured alike.

import { PostgreSQL } from '@codemirror/lang-sql';
import { highlightTree, tagHighlighter, tags } from '@lezer/highlight';

export interface Piece {
  text: string;
  /** What it is, as a class: `code-keyword`, `code-jinja`, …; none is plain. */
  kind: string | null;
}

const KINDS = tagHighlighter([
  { tag: tags.keyword, class: 'code-keyword' },
  { tag: tags.string, class: 'code-string' },
  // A name in quotes, of which compiled SQL is full.
  { tag: tags.special(tags.string), class: 'code-name' },
  { tag: [tags.number, tags.bool, tags.null], class: 'code-number' },
  { tag: tags.comment, class: 'code-comment' },
  { tag: [tags.typeName, tags.standard(tags.name)], class: 'code-type' },
]);

/** Comments, statements and expressions; one that is not closed ends with the text. */
const JINJA = /\{#[\s\S]*?(?:#\}|$)|\{%[\s\S]*?(?:%\}|$)|\{\{[\s\S]*?(?:\}\}|$)/g;

interface Range {
  from: number;
  to: number;
  kind: string;
}

/**
 * Jinja is taken out before the SQL is read, and leaves room as wide: a quote in `{{ "it's" }}` opens no text of SQL. Where it stands inside
 * a text of SQL, it is what is seen.
 */
export function piecesOf(code: string): Piece[] {
  const jinja: Range[] = [...code.matchAll(JINJA)].map(({ index, 0: text }) => ({
    from: index,
    to: index + text.length,
    kind: text.startsWith('{#') ? 'code-comment' : 'code-jinja',
  }));
  const bare = code.replaceAll(JINJA, (text) => ' '.repeat(text.length));
  const ranges: Range[] = [];
  highlightTree(PostgreSQL.language.parser.parse(bare), KINDS, (from, to, kind) => ranges.push({ from, to, kind }));

  const pieces: Piece[] = [];
  const add = (from: number, to: number, kind: string | null) => {
    if (from < to) pieces.push({ text: code.slice(from, to), kind });
  };
  /** What is between two pieces of Jinja. */
  let next = 0;
  const sql = (begin: number, end: number) => {
    let at = begin;
    for (let range = ranges[next]; range !== undefined && range.from < end; range = ranges[next]) {
      const from = Math.max(at, range.from);
      add(at, from, null);
      at = Math.max(from, Math.min(end, range.to));
      add(from, at, range.kind);
      if (range.to > end) break;
      next += 1;
    }
    add(at, end, null);
  };
  let at = 0;
  for (const { from, to, kind } of jinja) {
    sql(at, from);
    add(from, to, kind);
    at = to;
  }
  sql(at, code.length);
  return pieces;
}
