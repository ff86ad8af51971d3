// Values, filters, versions and windows: what must be exact.

import { describe, expect, it } from 'vitest';
import { toCsv, toJson, toSql } from './copying';
import { changedColumns, parseEvent, printDecimal, printValue } from './debezium';
import { nextOrder, parseFilter, parseOrder, printFilter } from './filters';
import { Exact, parseLossless, printLossless } from './lossless';
import { stepsOf, volatility } from './versions';
import { rowWindow, scrollToRow } from './window';

describe('JSON', () => {
  it('keeps every digit of a number', () => {
    const text = '{"a": 9223372036854775807, "b": 1700000000123456789, "c": [1.10, -0.0, 1e400]}';
    expect(printLossless(parseLossless(text)).replace(/\s+/g, ' ')).toBe(
      '{ "a": 9223372036854775807, "b": 1700000000123456789, "c": [ 1.10, -0.0, 1e400 ] }',
    );
  });

  it('reads what JSON.parse reads, and refuses what it refuses', () => {
    for (const text of ['null', ' [ ] ', '{}', '"a\\u00e9\\n"', '[true,false,null,"x"]']) {
      expect(parseLossless(text)).toEqual(JSON.parse(text));
    }
    for (const text of ['', '[1,]', '{"a":}', '01', '"open', '[1] 2', 'nul', '[1 2]']) {
      expect(() => parseLossless(text)).toThrow(SyntaxError);
    }
  });

  it('has a bound on its depth', () => {
    expect(() => parseLossless('['.repeat(100_000))).toThrow(SyntaxError);
  });
});

describe('values of events', () => {
  it('are decimals again', () => {
    expect(printDecimal('MDk=', 2)).toBe('123.45');
    expect(printDecimal('/w==', 2)).toBe('-0.01');
    expect(printDecimal('AA==', 0)).toBe('0');
    expect(printValue({ scale: new Exact('3'), value: 'AeI=' }, 'numeric')).toBe('0.482');
  });

  it('are days and times again', () => {
    expect(printValue(new Exact('20778'), 'date')).toBe('2026-11-21');
    expect(printValue(new Exact('1700000000123'), 'timestamp(3) without time zone')).toBe('2023-11-14 22:13:20.123');
    expect(printValue(new Exact('-1'), 'timestamp')).toBe('1969-12-31 23:59:59.999999');
    expect(printValue(new Exact('36612500000'), 'time')).toBe('10:10:12.500000');
    expect(printValue(new Exact('9223372036825200000'), 'timestamp')).toBe('9223372036825200000');
  });

  it('are read from the envelope, with what changed', () => {
    const event = parseEvent(
      '{"before":{"id":7,"status":"OPEN"},"after":{"id":7,"status":"PENDING"},"op":"u","source":{"schema":"s","table":"t","lsn":24023128,"ts_ms":1700000000123},"transaction":{"id":"555:24023128"}}',
      1,
    );
    expect(event).toMatchObject({
      operation: 'update',
      schema: 's',
      table: 't',
      lsn: '24023128',
      transaction: '555:24023128',
    });
    expect(changedColumns(event?.before ?? null, event?.after ?? null)).toEqual(['status']);
    expect(parseEvent('{"schema": 1}', 1)).toBeNull();
  });
});

describe('copies', () => {
  const columns = [
    { name: 'id', type: 'BIGINT' },
    { name: 'Name', type: 'VARCHAR' },
    { name: 'ok', type: 'BOOLEAN' },
  ];
  const rows = [
    ['9007199254740993', "O\"Hara, 'x'", 'true'],
    ['NaN', '', null],
  ];

  it('tell NULL from an empty text in CSV', () => {
    expect(toCsv(columns, rows)).toBe('id,Name,ok\r\n9007199254740993,"O""Hara, \'x\'",true\r\nNaN,"",\r\n');
  });

  it('keep numbers exact in JSON, and what is no number a text', () => {
    expect(toJson(columns, rows)).toBe(
      '[\n  {"id": 9007199254740993, "Name": "O\\"Hara, \'x\'", "ok": true},\n  {"id": "NaN", "Name": "", "ok": null}\n]\n',
    );
  });

  it('quote names and texts in SQL', () => {
    expect(toSql('s.t', columns, rows)).toBe(
      "INSERT INTO s.t (id, \"Name\", ok) VALUES\n  (9007199254740993, 'O\"Hara, ''x''', true),\n  ('NaN', '', NULL);\n",
    );
  });
});

describe('filters', () => {
  it('come back as they were written', () => {
    for (const text of ['status.eq.OPEN', 'a.b.ilike.%x.y%', 'id.in.(1,2)', 'name.is.null', 'x.eq.']) {
      const filter = parseFilter(text);
      expect(filter && printFilter(filter)).toBe(text);
    }
    expect(parseFilter('status')).toBeNull();
    expect(parseFilter('status.between.1')).toBeNull();
  });

  it('order by one column: up, down, not at all', () => {
    const up = nextOrder(null, 'id');
    const down = nextOrder(up, 'id');
    expect([up, down, nextOrder(down, 'id')]).toEqual([
      { column: 'id', descending: false },
      { column: 'id', descending: true },
      null,
    ]);
    expect(parseOrder('a.b.desc')).toEqual({ column: 'a.b', descending: true });
    expect(parseOrder(null)).toBeNull();
  });
});

describe('versions', () => {
  const version = (operation: string, values: (string | null)[]) => ({
    values,
    operation,
    valid_from: 't',
    valid_to: null,
    lsn: '0/1',
    seq: 1,
    lsn_to: null,
    seq_to: null,
  });
  const history = {
    columns: [
      { name: 'id', type: 'BIGINT' },
      { name: 'status', type: 'VARCHAR' },
    ],
    versions: [
      version('INSERT', ['1', null]),
      version('UPDATE', ['1', 'OPEN']),
      version('UPDATE', ['1', null]),
      version('DELETE', ['1', null]),
      version('INSERT', ['1', 'NEW']),
    ],
    truncated: false,
  };

  it('show only what changed, and a second life as one', () => {
    const steps = stepsOf(history);
    expect(steps.map((step) => step.differences.map(({ column }) => column))).toEqual([
      ['id'],
      ['status'],
      ['status'],
      [],
      ['id', 'status'],
    ]);
    expect(steps.map((step) => step.opens)).toEqual([true, false, false, false, true]);
    expect(volatility(steps)).toEqual([['status', 2]]);
  });
});

describe('the window on a long table', () => {
  it('moves pixel by pixel while the table is short', () => {
    expect(rowWindow(2800, 560, 1000, 28)).toEqual({ first: 94, count: 32, offset: 94 * 28, height: 28_000 });
  });

  it('reaches both ends of a table that no browser could lay out', () => {
    const total = 50_000_000;
    expect(rowWindow(0, 560, total, 28).first).toBe(0);
    const end = rowWindow(12_000_000 - 560, 560, total, 28);
    expect(end.first + end.count).toBe(total);
    expect(end.offset + end.count * 28).toBeCloseTo(12_000_000, 0);
  });

  it('brings a row into sight, and leaves one that is', () => {
    expect(scrollToRow(3, 0, 560, 1000, 28)).toBe(0);
    expect(scrollToRow(999, 0, 560, 1000, 28)).toBe(28_000 - 560);
    expect(scrollToRow(0, 5000, 560, 1000, 28)).toBe(0);
  });
});
