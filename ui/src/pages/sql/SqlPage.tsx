// Asking the warehouse: an editor, its answer as rows and as a chart, now or as of a moment, and queries that are kept.

import { type FormEvent, useEffect, useRef, useState } from 'react';
import { type Problem, postJson, problemOf } from '../../api/client';
import type { Answer, ChartKind, ProjectQuery, Table } from '../../api/contract';
import { useJson } from '../../api/resource';
import { recall, remember } from '../../app/memory';
import { CopyButton, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { setQuery, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { useHistorySince } from '../../app/status';
import { Tabs } from '../../app/Tabs';
import { Chart } from '../../charts/Chart';
import { guessAxes, kindsFor } from '../../charts/shape';
import { AsOf } from '../../data/AsOf';
import { quoteName } from '../../data/copying';
import { Export } from '../../data/Export';
import { Grid } from '../../data/Grid';
import { kindOf } from '../../data/types';
import { plural, printSeconds } from '../../format/quantity';
import { Editor } from './Editor';
import { dropQuery, savedQueries, saveQuery } from './saved';
import './sql.css';

/** What a grid in a browser is good for; more is a matter for an export or another program. */
const ROWS_MAX = 10_000;
const DRAFT = 'draft';
/** Enough to begin with. */
const EXAMPLES_MAX = 3;

function ChartTab({ answer }: { answer: Answer }) {
  const kinds = kindsFor(answer.columns, answer.rows);
  const { query } = usePlace();
  const guess = guessAxes(answer.columns);
  const named = (parameter: string, usual: string | null | undefined) => {
    const given = query.get(parameter);
    return answer.columns.some(({ name }) => name === given) ? given : given === '-' ? null : (usual ?? null);
  };
  const kind = (kinds.find((one) => one === query.get('chart')) ?? kinds[0] ?? 'table') as ChartKind;
  const x = named('x', guess.x);
  const y = named('y', guess.y);
  const color = named('color', guess.color);
  const choose = (parameter: string) => (event: { target: { value: string } }) =>
    setQuery({ [parameter]: event.target.value }, { replace: true });
  const numbers = answer.columns.filter((column) => kindOf(column.type) === 'number');
  return (
    <div className="card chart-tab">
      <div className="row chart-choices">
        <label>
          <span>Chart</span>
          <select className="field" value={kind} onChange={choose('chart')}>
            {kinds.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        {kind !== 'number' && kind !== 'table' ? (
          <>
            <label>
              <span>across</span>
              <select className="field" value={x ?? ''} onChange={choose('x')}>
                {answer.columns.map(({ name }) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
            <label>
              <span>up</span>
              <select className="field" value={y ?? ''} onChange={choose('y')}>
                {numbers.map(({ name }) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
            <label>
              <span>colour by</span>
              <select className="field" value={color ?? '-'} onChange={choose('color')}>
                <option value="-">nothing</option>
                {answer.columns.map(({ name }) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
          </>
        ) : null}
      </div>
      <Chart
        kind={kind}
        columns={answer.columns}
        rows={answer.rows}
        x={x}
        y={y}
        color={color}
        height={360}
        title="The answer"
      />
    </div>
  );
}

/** The project's own: files in queries/, the same for everybody. */
function OfProject({ onOpen }: { onOpen: (sql: string) => void }) {
  const queries = useJson<ProjectQuery[]>('/api/queries').data ?? [];
  if (queries.length === 0) return null;
  return (
    <>
      <h2>The project’s</h2>
      <ul className="saved-project">
        {queries.map(({ name, title, description, file, sql, error }) => (
          <li key={name} className="saved-query">
            {sql === null ? (
              <span className="state red" title={error ?? undefined}>
                {file}: {error?.split('\n')[0]}
              </span>
            ) : (
              <button type="button" className="saved-open" title={description ?? sql} onClick={() => onOpen(sql)}>
                {title}
              </button>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}

function Saved({ sql, onOpen }: { sql: string; onOpen: (sql: string) => void }) {
  const [queries, setQueries] = useState(savedQueries);
  const [name, setName] = useState('');
  const save = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() === '' || sql.trim() === '') return;
    setQueries(saveQuery({ name: name.trim(), sql }));
    setName('');
  };
  return (
    <aside className="saved" aria-label="Saved queries">
      <OfProject onOpen={onOpen} />
      <h2>Yours</h2>
      <form className="row" onSubmit={save}>
        <input
          className="field grow"
          aria-label="Name of the query"
          placeholder="name"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <button type="submit" className="button">
          Save
        </button>
      </form>
      {queries.length === 0 ? <p className="faint">None yet. They are kept in this browser.</p> : null}
      <ul>
        {queries.map((query) => (
          <li key={query.name} className="saved-query">
            <button type="button" className="saved-open" title={query.sql} onClick={() => onOpen(query.sql)}>
              {query.name}
            </button>
            <button
              type="button"
              className="button bare small"
              aria-label={`Forget ${query.name}`}
              onClick={() => setQueries(dropQuery(query.name))}
            >
              Forget
            </button>
          </li>
        ))}
      </ul>
    </aside>
  );
}

const TABS = [
  ['rows', 'Rows'],
  ['chart', 'Chart'],
] as const;

interface Run {
  sql: string;
  asOf: string | null;
  answer?: Answer;
  problem?: Problem;
}

export default function SqlPage() {
  const { query } = usePlace();
  const given = query.get('q');
  const asOf = query.get('as_of');
  const tables = useJson<Table[]>('/api/tables').data ?? [];
  const since = useHistorySince();
  const [sql, setSql] = useState(() => given ?? recall(DRAFT) ?? '');
  const [run, setRun] = useState<Run | null>(null);
  const [running, setRunning] = useState(false);
  const abort = useRef<AbortController | null>(null);
  const tab = query.get('tab') === 'chart' ? 'chart' : 'rows';

  const start = async (text: string, moment: string | null) => {
    if (text.trim() === '') return;
    abort.current?.abort();
    const controller = new AbortController();
    abort.current = controller;
    setRunning(true);
    try {
      const body = { sql: text, rows_max: ROWS_MAX, ...(moment ? { as_of: moment } : {}) };
      const answer = await postJson<Answer>('/api/sql', body, controller.signal);
      if (!controller.signal.aborted) setRun({ sql: text, asOf: moment, answer });
    } catch (error) {
      if (!controller.signal.aborted) setRun({ sql: text, asOf: moment, problem: problemOf(error) });
    } finally {
      if (abort.current === controller) setRunning(false);
    }
  };
  const ask = (text: string) => {
    setSql(text);
    remember(DRAFT, text);
    setQuery({ q: text });
    // The same question again changes no address, and is asked all the same.
    if (text === given) void start(text, asOf);
  };

  // biome-ignore lint/correctness/useExhaustiveDependencies: the address is the question, however it came to be there
  useEffect(() => {
    if (given === null) return;
    setSql(given);
    void start(given, asOf);
  }, [given, asOf]);
  useEffect(() => () => abort.current?.abort(), []);

  const answer = run?.answer;
  return (
    <Page title="SQL" lead="Read-only, over all tables and models. Names complete as you type.">
      <div className="sql-layout">
        <div className="sql-main">
          <div className="card editor-card">
            <Editor
              value={sql}
              tables={tables}
              onChange={(text) => {
                setSql(text);
                remember(DRAFT, text);
              }}
              onRun={ask}
            />
            <div className="row editor-tools">
              <button type="button" className="button first" onClick={() => ask(sql)}>
                Run
              </button>
              <span className="faint">
                <kbd>Ctrl</kbd> <kbd>Enter</kbd>
              </span>
              {running ? (
                <button
                  type="button"
                  className="button"
                  onClick={() => {
                    abort.current?.abort();
                    setRunning(false);
                  }}
                >
                  Cancel
                </button>
              ) : null}
              <span className="grow" />
              <CopyButton text={sql} label="Copy" small={false} />
            </div>
          </div>
          <AsOf value={asOf} since={since} />
          {run === null && !running ? (
            <Empty title="Ask something.">
              {tables.slice(0, EXAMPLES_MAX).map(({ warehouse: { schema, name } }) => {
                const example = `SELECT * FROM ${quoteName(schema)}.${quoteName(name)} LIMIT 100`;
                return (
                  <p key={`${schema}.${name}`}>
                    <button type="button" className="saved-open data" onClick={() => ask(example)}>
                      {example}
                    </button>
                  </p>
                );
              })}
              {tables.length === 0 ? 'SELECT 1 works while there are no tables.' : null}
            </Empty>
          ) : null}
          {run === null && running ? <Skeleton lines={8} /> : null}
          {run?.problem ? <ErrorNote problem={run.problem} /> : null}
          {answer ? (
            <>
              <div className="row answer-head">
                <Tabs
                  className="grow"
                  tabs={TABS}
                  chosen={tab}
                  onChoose={(one) => setQuery({ tab: one === 'rows' ? null : one }, { replace: true })}
                />
                <Export
                  table="answer"
                  columns={answer.columns}
                  rows={() => answer.rows}
                  all={() => Promise.resolve({ columns: answer.columns, rows: answer.rows, cut: answer.truncated })}
                />
              </div>
              {answer.rows.length === 0 ? <Empty title="No rows." /> : null}
              {answer.rows.length > 0 && tab === 'rows' ? (
                <div className="answer-grid" style={{ height: Math.min(560, 66 + answer.rows.length * 28) }}>
                  <Grid
                    key={run.sql}
                    label="The answer"
                    columns={answer.columns}
                    total={answer.rows.length}
                    rowAt={(at) => answer.rows[at]}
                    stale={running}
                  />
                </div>
              ) : null}
              {answer.rows.length > 0 && tab === 'chart' ? <ChartTab answer={answer} /> : null}
              <p className="grid-foot">
                <span>
                  {answer.truncated
                    ? `the first ${plural(answer.rows.length, 'row')}`
                    : plural(answer.rows.length, 'row')}
                </span>
                <span>in {printSeconds(answer.elapsed_ms / 1000)}</span>
                <span>
                  at <code>{answer.position}</code>
                </span>
              </p>
            </>
          ) : null}
        </div>
        <Saved sql={sql} onOpen={ask} />
      </div>
    </Page>
  );
}
