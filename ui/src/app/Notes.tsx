// What stands where data is not: an error with its code and remedy, an empty state with the next step, a skeleton.

import { type ReactNode, useEffect, useState } from 'react';
import type { Problem } from '../api/client';

export function CopyButton({ text, label = 'Copy', small = true }: { text: string; label?: string; small?: boolean }) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => setSaid(null), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = () => {
    copyText(text).then(
      () => setSaid('Copied'),
      () => setSaid('The browser refused'),
    );
  };
  return (
    <button type="button" className={small ? 'button small' : 'button'} onClick={copy}>
      <span aria-live="polite">{said ?? label}</span>
    </button>
  );
}

export async function copyText(text: string): Promise<void> {
  await navigator.clipboard.writeText(text);
}

/** A command that a person runs in a terminal, with a button that copies it. */
export function Command({ text }: { text: string }) {
  return (
    <span className="command">
      <code>{text}</code>
      <CopyButton text={text} />
    </span>
  );
}

function problemText(problem: Problem): string {
  const head = problem.code ? `error[${problem.code}]: ${problem.message}` : `error: ${problem.message}`;
  const lines = [head, problem.detail && `  detail: ${problem.detail}`, problem.hint && `  hint: ${problem.hint}`];
  return lines.filter(Boolean).join('\n');
}

export function ErrorNote({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  return (
    <div className="note red" role="alert">
      <p className="note-head">
        {problem.code ? <code className="note-code">{problem.code}</code> : null}
        <span>{problem.message}</span>
      </p>
      {problem.detail ? <pre className="note-detail">{problem.detail}</pre> : null}
      {problem.hint ? <p className="note-hint">{problem.hint}</p> : null}
      <p className="row">
        {onRetry ? (
          <button type="button" className="button small" onClick={onRetry}>
            Try again
          </button>
        ) : null}
        <CopyButton text={problemText(problem)} label="Copy the error" />
      </p>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="note">
      <p className="note-head">{title}</p>
      {children ? <div className="note-hint">{children}</div> : null}
    </div>
  );
}

/** Lines of the height that the answer will have. */
export function Skeleton({ lines = 6 }: { lines?: number }) {
  return (
    <div className="skeletons" aria-busy="true">
      <span className="hidden">Loading</span>
      {Array.from({ length: lines }, (_, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike and never move
        <span key={at} className="skeleton" style={{ width: `${88 - ((at * 37) % 45)}%` }} />
      ))}
    </div>
  );
}
