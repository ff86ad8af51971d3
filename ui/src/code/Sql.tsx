// SQL to be read: coloured as in the editor, with its lines numbered, and a button that copies it.

import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { CopyButton } from '../app/Notes';
import type { Piece } from './pieces';
import './code.css';

interface Placed extends Piece {
  /** Where it begins: what tells it from the others. */
  at: number;
}

type Split = (code: string) => Piece[];

const plain: Split = (code) => [{ text: code, kind: null }];
let known: Split = plain;

/** The grammar is many times as large as a page; the text is there before it, and gets its colours when it comes. */
function useSplit(): Split {
  const [split, setSplit] = useState(() => known);
  useEffect(() => {
    let here = true;
    import('./pieces').then(
      ({ piecesOf }) => {
        known = piecesOf;
        if (here) setSplit(() => piecesOf);
      },
      () => {
        // A newer server has another one; what is plain can be read too.
      },
    );
    return () => {
      here = false;
    };
  }, []);
  return split;
}

/** Lines of pieces; one that spans lines becomes several. */
function linesOf(code: string, split: Split): Placed[][] {
  const lines: Placed[][] = [[]];
  let at = 0;
  for (const { text, kind } of split(code)) {
    text.split('\n').forEach((part, index) => {
      if (index > 0) {
        lines.push([]);
        at += 1;
      }
      if (part !== '') lines.at(-1)?.push({ text: part, kind, at });
      at += part.length;
    });
  }
  return lines;
}

export function Sql({ code, label, tools }: { code: string; label: string; tools?: ReactNode }) {
  const split = useSplit();
  const lines = useMemo(() => linesOf(code.replace(/\s+$/, ''), split), [code, split]);
  let number = 0;
  return (
    <section className="code" aria-label={label}>
      <div className="code-tools row">
        {tools}
        <span className="grow" />
        <CopyButton text={code} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is wider than its place is scrolled by the arrows */}
      <pre className="code-text" tabIndex={0}>
        {lines.map((line) => {
          number += 1;
          return (
            <span key={number} className="code-line">
              {line.map(({ text, kind, at }) => (
                <span key={at} className={kind ?? undefined}>
                  {text}
                </span>
              ))}
              {'\n'}
            </span>
          );
        })}
      </pre>
    </section>
  );
}
