// A request to an endpoint: its address from its parameters, its answer with what the server says about it.

import { ask } from '../../api/client';
import type { Cell, Column, Endpoint, EndpointParameter } from '../../api/contract';
import { Exact, isObject, type Json, parseLossless, printFlat, printLossless } from '../../data/lossless';
import { parseInstant } from '../../format/time';

export type Given = Record<string, string>;

/** Parameters that are left at their default are left out, as a person would. */
export function requestPath(endpoint: Endpoint, given: Given): string {
  const query = new URLSearchParams();
  for (const { name, default: usual } of endpoint.params) {
    const value = given[name];
    if (value !== undefined && value !== '' && value !== String(usual ?? '')) query.set(name, value);
  }
  const text = query.toString();
  return text === '' ? endpoint.path : `${endpoint.path}?${text}`;
}

/** What is wrong with a value before it is sent; the server decides all the same. */
export function complaint(parameter: EndpointParameter, value: string): string | null {
  const { required, default: usual, min, max, type } = parameter;
  if (value === '') return required && (usual === null || usual === undefined) ? 'needs a value' : null;
  if (!/^(integer|number|bigint|double|float|decimal)/.test(type)) return null;
  const number = Number(value);
  if (!Number.isFinite(number)) return 'is not a number';
  if (type === 'integer' && !/^-?\d+$/.test(value)) return 'is not a whole number';
  if (min !== null && min !== undefined && number < min) return `is below ${min}`;
  if (max !== null && max !== undefined && number > max) return `is above ${max}`;
  return null;
}

export interface Reply {
  status: number;
  /** Null where nobody waited: it was sent by itself. */
  elapsedMs: number | null;
  position: string | null;
  cache: string | null;
  columns: Column[];
  rows: Cell[][];
  text: string;
}

const DATE = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?)?$/;

/** JSON says of numbers and truth values what they are, and times can be told by their form. */
function typeOf(values: Json[]): string {
  const some = values.filter((value) => value !== null);
  if (some.length > 0 && some.every((value) => value instanceof Exact)) return 'number';
  if (some.length > 0 && some.every((value) => typeof value === 'boolean')) return 'boolean';
  if (some.length > 0 && some.every((value) => typeof value === 'string' && DATE.test(value))) return 'date';
  if (some.length > 0 && some.every((value) => typeof value === 'string' && parseInstant(value) !== null))
    return 'timestamptz';
  return 'text';
}

/** An array of objects as columns and rows; the columns in the order in which they first appear. */
export function tableOf(body: Json): { columns: Column[]; rows: Cell[][] } {
  const objects = Array.isArray(body) ? body.filter(isObject) : isObject(body) ? [body] : [];
  const names = [...new Set(objects.flatMap((object) => Object.keys(object)))];
  const columns = names.map((name) => ({ name, type: typeOf(objects.map((object) => object[name] ?? null)) }));
  const rows = objects.map((object) =>
    names.map((name): Cell => {
      const value = object[name] ?? null;
      return value === null ? null : printFlat(value);
    }),
  );
  return { columns, rows };
}

/** What a live endpoint sent: the same array, and the position as the event's id. */
export function heardReply(data: string, position: string): Reply {
  const body = parseLossless(data);
  return {
    status: 200,
    elapsedMs: null,
    position: position || null,
    cache: null,
    ...tableOf(body),
    text: printLossless(body),
  };
}

export async function send(path: string, signal?: AbortSignal): Promise<Reply> {
  const began = performance.now();
  const response = await ask(path, { signal, headers: { accept: 'application/json' } });
  const text = await response.text();
  const elapsedMs = performance.now() - began;
  const body = parseLossless(text);
  return {
    status: response.status,
    elapsedMs,
    position: response.headers.get('millstream-position'),
    cache: response.headers.get('cache-control'),
    ...tableOf(body),
    text: printLossless(body),
  };
}
