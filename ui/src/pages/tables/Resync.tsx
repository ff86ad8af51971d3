// Reading a table again: what will happen is said, and its name asked for, before anything does.

import { type FormEvent, useEffect, useRef, useState } from 'react';
import { type Problem, postJson, problemOf } from '../../api/client';
import type { Resynced } from '../../api/contract';
import { Dialog } from '../../app/Dialog';
import { Command, ErrorNote } from '../../app/Notes';
import { plural } from '../../format/quantity';

type Stage = { is: 'asking' } | { is: 'working' } | { is: 'done'; what: Resynced } | { is: 'failed'; problem: Problem };

function Result({ what }: { what: Resynced }) {
  return (
    <>
      {what.tables.map(({ name, inserted, updated, deleted }) => (
        <p key={name}>
          <code>{name}</code>{' '}
          {inserted + updated + deleted === 0
            ? 'was read again: nothing differed.'
            : `was read again: ${plural(inserted, 'row')} inserted, ${plural(updated, 'row')} updated, ${plural(deleted, 'row')} deleted, each as a new version.`}
        </p>
      ))}
    </>
  );
}

function Asking({ table, onDone }: { table: string; onDone: () => void }) {
  const [typed, setTyped] = useState('');
  const [stage, setStage] = useState<Stage>({ is: 'asking' });
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const begin = async (event: FormEvent) => {
    event.preventDefault();
    if (typed.trim() !== table) return;
    const controller = new AbortController();
    abort.current = controller;
    setStage({ is: 'working' });
    try {
      const what = await postJson<Resynced>('/api/resync', { tables: [table] }, controller.signal);
      if (!controller.signal.aborted) setStage({ is: 'done', what });
    } catch (error) {
      if (!controller.signal.aborted) setStage({ is: 'failed', problem: problemOf(error) });
    }
  };

  return (
    <form className="resync" onSubmit={begin}>
      <h2>Resync {table}</h2>
      <p>
        All of its rows are read from the source again and compared with the warehouse. What differs becomes new
        versions; history is never erased. Large tables take a while, and at the end changes to all tables wait until
        this one is loaded.
      </p>
      {stage.is === 'asking' ? (
        <>
          <label>
            <span>
              Type <code>{table}</code> to go on
            </span>
            <input
              className="field"
              aria-label="Name of the table"
              // biome-ignore lint/a11y/noAutofocus: a dialog that asks one thing
              autoFocus
              autoComplete="off"
              spellCheck={false}
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
            />
          </label>
          <p className="faint">The same in a terminal:</p>
          <Command text={`millstream resync ${table}`} />
        </>
      ) : null}
      {stage.is === 'working' ? (
        <p role="status">Reading {table} again. Closing this gives it up; what was there stays as it is.</p>
      ) : null}
      {stage.is === 'done' ? <Result what={stage.what} /> : null}
      {stage.is === 'failed' ? <ErrorNote problem={stage.problem} /> : null}
      <p className="row">
        {stage.is === 'asking' ? (
          <button type="submit" className="button first" disabled={typed.trim() !== table}>
            Resync
          </button>
        ) : null}
        <button type="button" className="button" onClick={onDone}>
          {stage.is === 'asking' ? 'Cancel' : stage.is === 'working' ? 'Give up' : 'Close'}
        </button>
      </p>
    </form>
  );
}

export function Resync({ table, small = true, onDone }: { table: string; small?: boolean; onDone: () => void }) {
  const [open, setOpen] = useState(false);
  const close = () => {
    setOpen(false);
    onDone();
  };
  return (
    <>
      <button
        type="button"
        className={small ? 'button small' : 'button'}
        aria-label={`Resync ${table}`}
        onClick={() => setOpen(true)}
      >
        Resync
      </button>
      <Dialog open={open} title={`Resync ${table}`} className="question" onClose={close}>
        <Asking table={table} onDone={close} />
      </Dialog>
    </>
  );
}
