// What happens at the source, as it happens: filtered, paused, and each event whole beside the others.

import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import type { Table } from '../../api/contract';
import { useJson } from '../../api/resource';
import { useKey } from '../../app/keys';
import { Command, Empty, ErrorNote } from '../../app/Notes';
import { setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { type ChangeEvent, changedColumns, OPERATION_NAMES, printValue } from '../../data/debezium';
import { type Json, printFlat } from '../../data/lossless';
import { rowWindow, scrollToRow } from '../../data/window';
import { printCount } from '../../format/quantity';
import { printClock } from '../../format/time';
import { EventDetail } from './EventDetail';
import { useTail } from './tail';
import './changes.css';

const ROW = 26;
const OPERATIONS = ['c', 'u', 'd', 't'] as const;

type Types = Map<string, Map<string, string>>;

function typesOf(tables: Table[]): Types {
  return new Map(
    tables.map((table) => [
      table.name,
      new Map(table.columns.map((column) => [column.name, column.source_type ?? column.type])),
    ]),
  );
}

function keysOf(tables: Table[]): Map<string, string[]> {
  return new Map(
    tables.map((table) => [table.name, table.columns.filter((column) => column.key).map((column) => column.name)]),
  );
}

function keyText(event: ChangeEvent, keys: Map<string, string[]>): string {
  const row = event.after ?? event.before;
  if (row === null) return '';
  const names = keys.get(`${event.schema}.${event.table}`) ?? [];
  return names.map((name) => printFlat(row[name] ?? null)).join(', ');
}

/** What a line says of an event: an update what changed, an insert and a delete the row. */
function summary(event: ChangeEvent, types: Types, keys: Map<string, string[]>): string {
  const of = types.get(`${event.schema}.${event.table}`);
  const text = (name: string, value: Json | undefined) => printValue(value ?? null, of?.get(name)) ?? 'NULL';
  if (event.operation === 'update') {
    const changed = changedColumns(event.before, event.after);
    if (changed.length > 0) {
      return changed
        .map((name) => `${name} ${text(name, event.before?.[name])} → ${text(name, event.after?.[name])}`)
        .join(', ');
    }
  }
  const row = event.after ?? event.before ?? {};
  const names = keys.get(`${event.schema}.${event.table}`) ?? [];
  return Object.entries(row)
    .filter(([name, value]) => !names.includes(name) && value !== null)
    .map(([name, value]) => `${name} ${text(name, value)}`)
    .join(', ');
}

export default function Changes() {
  const { query } = usePlace();
  const tables = useJson<Table[]>('/api/tables').data ?? [];
  const table = query.get('table') ?? '';
  const chosen = (query.get('op') ?? '').split(',').filter(Boolean);
  const key = query.get('key') ?? '';
  const [paused, setPaused] = useState(false);
  const tail = useTail(table, paused);
  const [selected, setSelected] = useState<number | null>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const [view, setView] = useState({ top: 0, height: 400 });
  const types = useMemo(() => typesOf(tables), [tables]);
  const keys = useMemo(() => keysOf(tables), [tables]);

  useKey('p', () => setPaused((was) => !was));
  useKey('/', () => field.current?.focus());
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const measure = () => setView((before) => ({ ...before, height: element.clientHeight }));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);

  const operations = chosen.join(',');
  // Newest first: the place that is looked at stays where it is.
  const shown = useMemo(() => {
    const wanted = operations === '' ? null : operations.split(',');
    const found = tail.events.filter((event) => {
      if (wanted !== null && !wanted.includes(event.op === 'r' ? 'c' : event.op)) return false;
      return key === '' || keyText(event, keys).split(', ').includes(key);
    });
    return found.reverse();
  }, [tail.events, operations, key, keys]);

  const at = selected === null ? -1 : shown.findIndex((event) => event.id === selected);
  const event = at === -1 ? tail.events.find((one) => one.id === selected) : shown[at];
  const { first, count, offset, height } = rowWindow(view.top, view.height, shown.length, ROW);
  const select = (index: number) => {
    const next = shown[Math.max(0, Math.min(shown.length - 1, index))];
    const element = scroller.current;
    if (next === undefined || element === null) return;
    setSelected(next.id);
    element.scrollTop = scrollToRow(shown.indexOf(next), element.scrollTop, view.height, shown.length, ROW);
  };
  const press = (pressed: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[pressed.key];
    if (pressed.key === 'Escape') setSelected(null);
    else if (step === undefined) return;
    else select(at === -1 ? first : at + step);
    pressed.preventDefault();
  };
  const toggle = (op: string) => {
    const next = chosen.includes(op) ? chosen.filter((one) => one !== op) : [...chosen, op];
    setQuery({ op: next.length === 0 ? null : next.join(',') }, { replace: true });
  };

  const source = tables.filter(({ kind }) => kind === 'table');
  return (
    <Page
      title="Changes"
      full
      lead={
        <span className="live">
          {tail.state === 'live' ? 'Live' : tail.state === 'lost' ? 'Connecting again' : 'Connecting'};{' '}
          {printCount(tail.seen)} since you came
          {paused ? `, ${printCount(tail.held)} held while paused` : ''}.
        </span>
      }
      tools={
        <button
          type="button"
          className={paused ? 'button first' : 'button'}
          aria-pressed={paused}
          onClick={() => setPaused(!paused)}
        >
          {paused ? 'Go on' : 'Pause'} <kbd>p</kbd>
        </button>
      }
    >
      <div className="row">
        <select
          className="field tail-choice"
          aria-label="Table"
          value={table}
          onChange={(event) => setQuery({ table: event.target.value || null })}
        >
          <option value="">All tables</option>
          {source.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <div className="row" role="group" aria-label="Operations">
          {OPERATIONS.map((op) => (
            <button
              key={op}
              type="button"
              className="toggle"
              aria-pressed={chosen.includes(op)}
              onClick={() => toggle(op)}
            >
              <span
                className={`operation ${op === 'c' ? 'insert' : op === 'u' ? 'update' : op === 'd' ? 'delete' : 'other'}`}
              >
                {OPERATION_NAMES[op]}
              </span>
            </button>
          ))}
        </div>
        <input
          ref={field}
          className="field"
          aria-label="Key"
          placeholder="key"
          value={key}
          onChange={(event) => setQuery({ key: event.target.value || null }, { replace: true })}
        />
      </div>
      {tail.problem ? <ErrorNote problem={tail.problem} /> : null}
      <div className="tail-layout">
        <div
          ref={scroller}
          className="tail live"
          role="listbox"
          aria-label="Changes, newest first"
          aria-activedescendant={event ? `event-${event.id}` : undefined}
          tabIndex={0}
          onKeyDown={press}
          onScroll={(scrolled) => {
            const top = scrolled.currentTarget.scrollTop;
            setView((before) => ({ ...before, top }));
          }}
        >
          {shown.length === 0 && !tail.problem ? (
            <Empty title={tail.events.length > 0 ? 'No change passes the filters.' : 'Nothing has changed yet.'}>
              {tail.events.length > 0 ? (
                'Those that come and pass will stand here.'
              ) : (
                <>
                  Changes stand here as they are committed. In a terminal:{' '}
                  <Command text={`millstream tail ${table || 'TABLE'} --follow`} />
                </>
              )}
            </Empty>
          ) : null}
          <div style={{ height, position: 'relative' }}>
            <div className="tail-rows" style={{ transform: `translateY(${offset}px)` }}>
              {shown.slice(first, first + count).map((one, slot) => (
                // biome-ignore lint/a11y/useKeyWithClickEvents: the list has the keys
                <div
                  // biome-ignore lint/suspicious/noArrayIndexKey: a flood passes through the same few elements, and none is made anew
                  key={slot}
                  id={`event-${one.id}`}
                  role="option"
                  tabIndex={-1}
                  aria-selected={one.id === selected}
                  className="tail-row"
                  onClick={() => setSelected(one.id)}
                >
                  <span className="faint">{printClock(new Date(one.committedMs))}</span>
                  <span className={`operation ${one.operation}`}>{OPERATION_NAMES[one.op] ?? one.op}</span>
                  <span className="tail-table">{table ? '' : one.table}</span>
                  <span className="tail-key">{keyText(one, keys)}</span>
                  <span className="tail-summary">{summary(one, types, keys)}</span>
                </div>
              ))}
            </div>
          </div>
        </div>
        {event ? (
          <EventDetail
            event={event}
            table={source.find(({ name }) => name === `${event.schema}.${event.table}`)}
            onClose={() => setSelected(null)}
          />
        ) : null}
      </div>
    </Page>
  );
}
