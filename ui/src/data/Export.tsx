// Rows taken elsewhere: copied as they are seen, or all of them as a file.

import { useEffect, useRef, useState } from 'react';
import { problemOf } from '../api/client';
import type { Cell, Column } from '../api/contract';
import { copyText } from '../app/Notes';
import { plural } from '../format/quantity';
import { type CopyForm, toForm } from './copying';

export interface Taken {
  columns: Column[];
  rows: Cell[][];
  /** There are more than the bound allows. */
  cut: boolean;
}

interface ExportProps {
  table: string;
  columns: Column[];
  /** Those at hand, to be copied. */
  rows: () => Cell[][];
  /** All of them, to be downloaded. */
  all: () => Promise<Taken>;
}

const FORMS: [CopyForm, string, string][] = [
  ['csv', 'CSV', 'text/csv'],
  ['json', 'JSON', 'application/json'],
  ['sql', 'SQL', 'application/sql'],
];

function save(name: string, type: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser has begun to read it by the next turn of its loop.
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export function Export({ table, columns, rows, all }: ExportProps) {
  const [open, setOpen] = useState(false);
  const [said, setSaid] = useState<string | null>(null);
  const around = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const close = (event: Event) => {
      if (event instanceof KeyboardEvent ? event.key === 'Escape' : !around.current?.contains(event.target as Node))
        setOpen(false);
    };
    window.addEventListener('pointerdown', close);
    window.addEventListener('keydown', close);
    return () => {
      window.removeEventListener('pointerdown', close);
      window.removeEventListener('keydown', close);
    };
  }, [open]);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => setSaid(null), 3000);
    return () => clearTimeout(timer);
  }, [said]);

  const copy = (form: CopyForm) => {
    const some = rows();
    setOpen(false);
    copyText(toForm(form, table, columns, some)).then(
      () => setSaid(`${plural(some.length, 'row')} copied`),
      () => setSaid('The browser refused'),
    );
  };
  const download = async (form: CopyForm, type: string) => {
    setOpen(false);
    setSaid('Reading…');
    try {
      const taken = await all();
      save(`${table}.${form}`, type, toForm(form, table, taken.columns, taken.rows));
      setSaid(
        taken.cut ? `The first ${plural(taken.rows.length, 'row')} saved` : `${plural(taken.rows.length, 'row')} saved`,
      );
    } catch (error) {
      setSaid(problemOf(error).message);
    }
  };

  return (
    <div className="menu" ref={around}>
      <button type="button" className="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span aria-live="polite">{said ?? 'Export'}</span>
      </button>
      {open ? (
        <div className="menu-list">
          {FORMS.map(([form, name]) => (
            <button key={form} type="button" onClick={() => copy(form)}>
              Copy what is loaded as {name}
            </button>
          ))}
          {FORMS.map(([form, name, type]) => (
            <button key={`file ${form}`} type="button" onClick={() => void download(form, type)}>
              Save all as {name}
            </button>
          ))}
        </div>
      ) : null}
    </div>
  );
}
