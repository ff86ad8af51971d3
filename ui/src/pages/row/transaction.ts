// What else a transaction did: its versions are found in every history view by their commit LSN.

import { postJson } from '../../api/client';
import type { Answer, Table } from '../../api/contract';
import { quoteName, quoteText } from '../../data/copying';
import { parseLsn } from '../../format/lsn';

export interface Touched {
  table: string;
  operation: string;
  rows: number;
}

/** History views hold positions as numbers: the LSN without its stroke. */
export function transactionSql(tables: Table[], lsn: string): string | null {
  const position = parseLsn(lsn);
  const kept = tables.filter((table) => table.kind === 'table' && table.history);
  if (position === null || kept.length === 0) return null;
  const parts = kept.map(({ warehouse: { schema, name } }) => {
    const shown = quoteText(`${schema}.${name}`);
    const view = `${quoteName(schema)}.${quoteName(`${name}_history`)}`;
    return `SELECT ${shown} AS table_name, operation_type, count(*) AS row_count FROM ${view} WHERE _lsn = ${position} GROUP BY ALL`;
  });
  return `${parts.join('\nUNION ALL\n')}\nORDER BY 1, 2`;
}

export async function readTransaction(tables: Table[], lsn: string, signal: AbortSignal): Promise<Touched[]> {
  const sql = transactionSql(tables, lsn);
  if (sql === null) return [];
  const answer = await postJson<Answer>('/api/sql', { sql, rows_max: 1000 }, signal);
  return answer.rows.map(([table, operation, rows]) => ({
    table: table ?? '',
    operation: operation ?? '',
    rows: Number(rows ?? 0),
  }));
}
