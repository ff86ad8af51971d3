// Trying an endpoint: parameters in, the answer out, with the command that does the same in a terminal.

import { type FormEvent, useEffect, useRef, useState } from 'react';
import { type Problem, problemOf, problemOfBody, problemOfFile } from '../../api/client';
import type { Endpoint, EndpointParameter } from '../../api/contract';
import { Command, CopyButton, ErrorNote } from '../../app/Notes';
import { setQuery, usePlace } from '../../app/router';
import { Grid } from '../../data/Grid';
import { plural, printSeconds } from '../../format/quantity';
import { complaint, type Given, heardReply, type Reply, requestPath, send } from './request';

function Parameter({
  parameter,
  value,
  onChange,
}: {
  parameter: EndpointParameter;
  value: string;
  onChange: (value: string) => void;
}) {
  const { name, type, default: usual, enum: choices, min, max, required } = parameter;
  const wrong = complaint(parameter, value);
  const bounds = [
    min !== null && min !== undefined ? `from ${min}` : '',
    max !== null && max !== undefined ? `to ${max}` : '',
  ];
  return (
    <div className="parameter">
      <label htmlFor={`parameter-${name}`}>
        <code>{name}</code>{' '}
        <span className="faint">{[type, ...bounds, required ? 'required' : ''].filter(Boolean).join(' ')}</span>
      </label>
      {choices && choices.length > 0 ? (
        <select
          id={`parameter-${name}`}
          className="field"
          value={value}
          onChange={(event) => onChange(event.target.value)}
        >
          {usual === null || usual === undefined ? <option value="" /> : null}
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          id={`parameter-${name}`}
          className="field"
          value={value}
          placeholder={usual === null || usual === undefined ? '' : String(usual)}
          aria-invalid={wrong !== null}
          spellCheck={false}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      {wrong ? <span className="state amber">{wrong}</span> : null}
    </div>
  );
}

export function Trial({ endpoint }: { endpoint: Endpoint }) {
  const { query } = usePlace();
  const initial = Object.fromEntries(
    endpoint.params.map(({ name, default: usual }) => [name, query.get(`p.${name}`) ?? String(usual ?? '')]),
  );
  const [given, setGiven] = useState<Given>(initial);
  const [reply, setReply] = useState<Reply>();
  const [problem, setProblem] = useState<Problem>();
  const [live, setLive] = useState(false);
  const [heard, setHeard] = useState(0);
  const [asJson, setAsJson] = useState(false);
  const turn = useRef(0);
  const path = requestPath(endpoint, given);
  const broken = endpoint.error ? problemOfFile(endpoint.error) : null;
  const origin = window.location.origin;

  const ask = async () => {
    turn.current += 1;
    const mine = turn.current;
    try {
      const answer = await send(path);
      if (mine !== turn.current) return;
      setReply(answer);
      setProblem(undefined);
    } catch (error) {
      if (mine === turn.current) setProblem(problemOf(error));
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const parameters = Object.entries(given).map(([name, value]): [string, string | null] => [
      `p.${name}`,
      value || null,
    ]);
    setQuery({ path: endpoint.path, ...Object.fromEntries(parameters) }, { replace: true });
    void ask();
  };
  const latest = useRef(ask);
  latest.current = ask;

  // The first answer is there without a click: reading changes nothing.
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each endpoint
  useEffect(() => {
    const needs = endpoint.params.some((parameter) => complaint(parameter, given[parameter.name] ?? '') !== null);
    if (!broken && !needs) void latest.current();
  }, []);

  useEffect(() => {
    if (!live) return;
    const source = new EventSource(path);
    let waiting: MessageEvent<string> | null = null;
    let frame = 0;
    let count = 0;
    // Results can come faster than they can be drawn: only the last before a frame is.
    const show = () => {
      frame = 0;
      if (waiting === null) return;
      setReply(heardReply(waiting.data, waiting.lastEventId));
      setProblem(undefined);
      setHeard(count);
      waiting = null;
    };
    source.onmessage = (message: MessageEvent<string>) => {
      count += 1;
      waiting = message;
      frame ||= requestAnimationFrame(show);
    };
    source.addEventListener('problem', (message) => {
      setProblem(problemOfBody(0, '', (message as MessageEvent<string>).data));
    });
    return () => {
      source.close();
      cancelAnimationFrame(frame);
    };
  }, [live, path]);

  return (
    <section className="trial" aria-label={`Try ${endpoint.path}`}>
      <div>
        <h2>
          <code>GET {endpoint.path}</code>
        </h2>
        <p className="quiet">
          {endpoint.description ? `${endpoint.description}. ` : ''}
          {endpoint.file ? (
            <>
              From <code>{endpoint.file}</code>.{' '}
            </>
          ) : null}
          {endpoint.cache_seconds ? `May be kept for ${printSeconds(endpoint.cache_seconds)}.` : ''}
        </p>
      </div>
      {broken ? <ErrorNote problem={broken} /> : null}
      <form className="parameters" onSubmit={submit}>
        {endpoint.params.map((parameter) => (
          <Parameter
            key={parameter.name}
            parameter={parameter}
            value={given[parameter.name] ?? ''}
            onChange={(value) => setGiven((before) => ({ ...before, [parameter.name]: value }))}
          />
        ))}
        <div className="row parameter-send">
          <button type="submit" className="button first">
            Ask
          </button>
          {endpoint.live ? (
            <button type="button" className="button" aria-pressed={live} onClick={() => setLive(!live)}>
              {live ? `Live, ${plural(heard, 'update')}` : 'Follow live'}
            </button>
          ) : null}
        </div>
      </form>
      <Command text={`curl '${origin}${path}'`} />
      {problem ? <ErrorNote problem={problem} /> : null}
      {reply ? (
        <>
          <div className="row answer-head">
            <p className="grid-foot grow">
              <span>{plural(reply.rows.length, 'row')}</span>
              {reply.elapsedMs === null ? null : <span>in {printSeconds(reply.elapsedMs / 1000)}</span>}
              {reply.position ? (
                <span>
                  at <code>{reply.position}</code>
                </span>
              ) : null}
              {reply.cache ? (
                <span>
                  <code>{reply.cache}</code>
                </span>
              ) : null}
            </p>
            <button type="button" className="button small" aria-pressed={asJson} onClick={() => setAsJson(!asJson)}>
              {asJson ? 'As rows' : 'As JSON'}
            </button>
            <CopyButton text={reply.text} label="Copy JSON" />
          </div>
          {asJson ? (
            <pre className="card reply-json">{reply.text}</pre>
          ) : (
            <div className="answer-grid" style={{ height: Math.min(480, 66 + Math.max(1, reply.rows.length) * 28) }}>
              <Grid
                label={`Answer of ${endpoint.path}`}
                columns={reply.columns}
                total={reply.rows.length}
                rowAt={(at) => reply.rows[at]}
              />
            </div>
          )}
        </>
      ) : null}
    </section>
  );
}
