// Addresses of questions, and errors from whatever answered.

import { describe, expect, it } from 'vitest';
import { problemOfBody, withQuery } from './client';

describe('a question', () => {
  it('adds its parameters to those that are there', () => {
    expect(withQuery('/orders', [['as_of', null]])).toBe('/orders');
    expect(
      withQuery('/orders', [
        ['as_of', '0/16B3748'],
        ['limit', 0],
      ]),
    ).toBe('/orders?as_of=0%2F16B3748&limit=0');
    expect(withQuery('/orders?status=all', [['as_of', '0/1']])).toBe('/orders?status=all&as_of=0%2F1');
  });
});

describe('a refusal', () => {
  it('keeps code, detail and hint of a problem document', () => {
    const body =
      '{"title":"wrong parameter","status":400,"code":"MS7101","detail":"limit must be a number","hint":null}';
    expect(problemOfBody(400, 'Bad Request', body)).toMatchObject({
      message: 'wrong parameter',
      code: 'MS7101',
      detail: 'limit must be a number',
      hint: null,
      status: 400,
    });
  });

  it('of something between here and the server still says what is known', () => {
    expect(problemOfBody(502, 'Bad Gateway', '<html>')).toMatchObject({
      message: 'the server answered 502 Bad Gateway',
      code: '',
    });
  });
});
