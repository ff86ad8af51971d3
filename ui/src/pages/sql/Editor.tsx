// The editor: completion of the warehouse's own names, Ctrl-Enter runs.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { PostgreSQL, sql } from '@codemirror/lang-sql';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState, Prec } from '@codemirror/state';
import { drawSelection, EditorView, keymap, lineNumbers, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';
import type { Table } from '../../api/contract';

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--accent)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--insert)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--update)' },
  { tag: tags.comment, color: 'var(--text-faint)', fontStyle: 'italic' },
  { tag: [tags.typeName, tags.standard(tags.name)], color: 'var(--delete)' },
]);

const look = EditorView.theme({
  '&': {
    minHeight: '148px',
    maxHeight: '46vh',
    background: 'var(--surface)',
    color: 'var(--text)',
    fontSize: '0.875rem',
  },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { padding: 'var(--space-2) 0', fontFamily: 'var(--font-data)', lineHeight: '1.55' },
  '.cm-gutters': { border: '0', background: 'none', color: 'var(--text-faint)' },
  '.cm-content': { caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    background: 'var(--accent-soft)',
  },
  '.cm-placeholder': { color: 'var(--text-faint)' },
  '.cm-tooltip': {
    border: '1px solid var(--line-strong)',
    borderRadius: 'var(--radius)',
    background: 'var(--surface)',
    color: 'var(--text)',
    boxShadow: 'var(--shadow)',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--font-data)', fontSize: 'var(--size-2)' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { background: 'var(--accent-soft)', color: 'var(--text)' },
});

/** Names as completion knows them: the history beside each table that has one, and what its view adds. */
function schemaOf(tables: Table[]): Record<string, Record<string, string[]>> {
  const schema: Record<string, Record<string, string[]>> = {};
  for (const { warehouse, columns, history } of tables) {
    const names = columns.map(({ name }) => name);
    const inside = schema[warehouse.schema] ?? {};
    schema[warehouse.schema] = inside;
    inside[warehouse.name] = names;
    if (history) {
      inside[`${warehouse.name}_history`] = [
        ...names,
        'valid_from',
        'valid_to',
        'is_current',
        'operation_type',
        '_lsn',
        '_seq',
        '_lsn_to',
        '_seq_to',
      ];
    }
  }
  return schema;
}

function language(tables: Table[]) {
  const schemas = new Set(tables.map(({ warehouse }) => warehouse.schema));
  const [only] = schemas.size === 1 ? schemas : [];
  return sql({ dialect: PostgreSQL, schema: schemaOf(tables), defaultSchema: only, upperCaseKeywords: true });
}

interface EditorProps {
  value: string;
  tables: Table[];
  onChange: (value: string) => void;
  onRun: (value: string) => void;
}

export function Editor({ value, tables, onChange, onRun }: EditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const names = useRef(new Compartment());
  const latest = useRef({ onChange, onRun });
  latest.current = { onChange, onRun };

  // biome-ignore lint/correctness/useExhaustiveDependencies: the editor is made once; what changes later is given to it below
  useEffect(() => {
    if (place.current === null) return;
    const run = (editor: EditorView) => {
      latest.current.onRun(editor.state.doc.toString());
      return true;
    };
    // In a shadow root the editor's styles are sheets and not elements, which the server's policy (no inline styles) would refuse.
    const root = place.current.shadowRoot ?? place.current.attachShadow({ mode: 'open' });
    const editor = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: value,
        extensions: [
          Prec.highest(keymap.of([{ key: 'Mod-Enter', run }])),
          keymap.of([...closeBracketsKeymap, ...completionKeymap, ...defaultKeymap, ...historyKeymap]),
          lineNumbers(),
          history(),
          drawSelection(),
          closeBrackets(),
          bracketMatching(),
          autocompletion(),
          placeholder('SELECT … (Ctrl-Enter runs)'),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ 'aria-label': 'SQL', spellcheck: 'false' }),
          look,
          syntaxHighlighting(colours),
          names.current.of(language(tables)),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    editor.focus();
    return () => editor.destroy();
  }, []);

  useEffect(() => {
    view.current?.dispatch({ effects: names.current.reconfigure(language(tables)) });
  }, [tables]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null || editor.state.doc.toString() === value) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
  }, [value]);

  return <div ref={place} className="editor" />;
}
