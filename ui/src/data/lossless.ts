// JSON without loss: numbers stay the text that they came as, for a bigint or a nanosecond is beyond what JavaScript counts exactly.

/** A number as it was written. */
export class Exact {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Json = null | boolean | string | Exact | Json[] | { [name: string]: Json };

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const BLANK = /[ \t\r\n]*/y;
/** Deeper than any value of a database; a bound so that a hostile one can't exhaust the stack. */
const DEPTH_MAX = 200;

export function parseLossless(text: string): Json {
  let at = 0;

  const fail = (): never => {
    throw new SyntaxError(`not JSON at character ${at}`);
  };
  const blank = () => {
    BLANK.lastIndex = at;
    BLANK.test(text);
    at = BLANK.lastIndex;
  };
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) return fail();
    at = pattern.lastIndex;
    return match[0];
  };
  const word = <T extends Json>(literal: string, value: T): T => {
    if (!text.startsWith(literal, at)) return fail();
    at += literal.length;
    return value;
  };
  const list = <T>(close: string, depth: number, one: () => T): T[] => {
    if (depth > DEPTH_MAX) fail();
    const found: T[] = [];
    at += 1;
    blank();
    if (text[at] === close) {
      at += 1;
      return found;
    }
    for (;;) {
      found.push(one());
      blank();
      const next = text[at];
      if (next !== ',' && next !== close) fail();
      at += 1;
      if (next === close) return found;
    }
  };
  const value = (depth: number): Json => {
    blank();
    switch (text[at]) {
      case '{':
        return Object.fromEntries(
          list('}', depth, () => {
            blank();
            const name = JSON.parse(take(STRING)) as string;
            blank();
            word(':', null);
            return [name, value(depth + 1)] as const;
          }),
        );
      case '[':
        return list(']', depth, () => value(depth + 1));
      case '"':
        return JSON.parse(take(STRING)) as string;
      case 't':
        return word('true', true);
      case 'f':
        return word('false', false);
      case 'n':
        return word('null', null);
      default:
        return new Exact(take(NUMBER));
    }
  };

  const result = value(0);
  blank();
  if (at !== text.length) fail();
  return result;
}

export function isObject(value: Json | undefined): value is { [name: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Exact);
}

/** Prints it with two blanks of indentation, numbers as they came. */
export function printLossless(value: Json, indent = ''): string {
  if (value instanceof Exact) return value.text;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const inner = `${indent}  `;
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const parts = Array.isArray(value)
    ? value.map((one) => inner + printLossless(one, inner))
    : Object.entries(value).map(([name, one]) => `${inner}${JSON.stringify(name)}: ${printLossless(one, inner)}`);
  return parts.length === 0 ? open + close : `${open}\n${parts.join(',\n')}\n${indent}${close}`;
}

/** Text for one line: a string without its quotes, anything else as JSON. */
export function printFlat(value: Json): string {
  if (value instanceof Exact) return value.text;
  if (typeof value === 'string') return value;
  if (value === null || typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `[${value.map(printQuoted).join(', ')}]`;
  return `{${Object.entries(value)
    .map(([name, one]) => `${JSON.stringify(name)}: ${printQuoted(one)}`)
    .join(', ')}}`;
}

function printQuoted(value: Json): string {
  return typeof value === 'string' ? JSON.stringify(value) : printFlat(value);
}
