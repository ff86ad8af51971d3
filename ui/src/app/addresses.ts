// The addresses of things, in one place: tables, rows, queries, endpoints, models.

export const tableAddress = (schema: string, name: string, query: Record<string, string | null> = {}): string =>
  withParameters(`/tables/${encodeURIComponent(schema)}/${encodeURIComponent(name)}`, query);

export function rowAddress(schema: string, name: string, key: [string, string][]): string {
  const query = new URLSearchParams(key.map(([column, value]) => [`key.${column}`, value]));
  return `/tables/${encodeURIComponent(schema)}/${encodeURIComponent(name)}/row?${query}`;
}

export const sqlAddress = (sql: string): string => withParameters('/sql', { q: sql });

export const endpointAddress = (path: string): string => withParameters('/endpoints', { path });

export const dashboardAddress = (name: string): string => `/dashboards/${encodeURIComponent(name)}`;

export const modelAddress = (id: string, query: Record<string, string | null> = {}): string =>
  withParameters(`/models/${encodeURIComponent(id)}`, query);

export const runAddress = (id: string): string => `/models/runs/${encodeURIComponent(id)}`;

export const changesAddress = (table: string): string => withParameters('/changes', { table });

function withParameters(path: string, query: Record<string, string | null>): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== null);
  const text = new URLSearchParams(given).toString();
  return text === '' ? path : `${path}?${text}`;
}
