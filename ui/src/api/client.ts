// Asking the server. Whatever goes wrong becomes one kind of error, with the code and the hint that the command line gives too.

import type { Failure } from './contract';

/** What the server refused or could not do, from its problem document (RFC 9457), or the connection itself. */
export class Problem extends Error {
  readonly code: string;
  readonly detail: string | null;
  readonly hint: string | null;
  readonly status: number;

  constructor(of: { title: string; code?: string; detail?: string | null; hint?: string | null; status?: number }) {
    super(of.title);
    this.name = 'Problem';
    this.code = of.code ?? '';
    this.detail = of.detail ?? null;
    this.hint = of.hint ?? null;
    this.status = of.status ?? 0;
  }
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem({ title: error instanceof Error ? error.message : String(error) });
}

export function problemOfFailure(failure: Failure): Problem {
  return new Problem({ ...failure, title: failure.message });
}

/** What is wrong with a file of the project: the first line is what happened, the others say where. */
export function problemOfFile(error: string): Problem {
  const [title = '', ...rest] = error.split('\n');
  return new Problem({ title, detail: rest.join('\n') || null });
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function problemOfBody(status: number, statusText: string, body: string): Problem {
  let parsed: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(body);
    if (value !== null && typeof value === 'object') parsed = value as Record<string, unknown>;
  } catch {
    // Something between here and the server answered, not the server.
  }
  return new Problem({
    title: text(parsed.title) ?? text(parsed.message) ?? `the server answered ${status} ${statusText}`.trim(),
    code: text(parsed.code),
    detail: text(parsed.detail),
    hint: text(parsed.hint),
    status,
  });
}

/** Said where a session has ended, so that a key is asked for again. */
export const LOCKED = 'millstream:locked';

export async function ask(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem({
      title: 'no answer from Millstream',
      detail: error instanceof Error ? error.message : null,
      hint: 'is it running? millstream status, in the project’s directory, tells',
    });
  }
  if (response.status === 401 && path !== '/api/me' && path !== '/api/login') window.dispatchEvent(new Event(LOCKED));
  if (!response.ok) throw problemOfBody(response.status, response.statusText, await response.text());
  return response;
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await ask(path, { signal, headers: { accept: 'application/json' } });
  return (await response.json()) as T;
}

export async function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await ask(path, {
    method: 'POST',
    signal,
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return (await response.json()) as T;
}

/** A path with parameters, added to those that it may have; those that are null, undefined or empty are left out. */
export function withQuery(path: string, query: Iterable<[string, string | number | null | undefined]>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of query) {
    if (value !== null && value !== undefined && value !== '') parameters.append(name, String(value));
  }
  const text = parameters.toString();
  return text === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${text}`;
}
