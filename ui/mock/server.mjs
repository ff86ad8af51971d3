// A stand-in for the server: the same addresses, in one process, without a database. For developing the UI, its tests and pictures.
//
//   node mock/server.mjs [port] [scene]

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ANSWERS, DASHBOARDS, ENDPOINTS, lineage, MODELS, QUERIES, schemaChanges } from './documents.mjs';
import { Project } from './project.mjs';
import { answerSql, Refused, VIEWS } from './questions.mjs';
import { moment, rowOf, rowsOf } from './rows.mjs';
import { printLsn } from './store.mjs';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/** As strict as the server's own: what it refuses is to be noticed here first. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What answers every role. */
const ROLES_OWN = [
  '/api/me',
  '/api/log',
  '/api/tables',
  '/api/rows/',
  '/api/row/',
  '/api/endpoints',
  '/api/dashboards',
];

function json(response, body, headers = {}) {
  response.writeHead(200, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function refuse(response, error) {
  const { status = 500, code = 'MS7000', message, detail = null, hint = null } = error;
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(
    JSON.stringify({ type: `https://millstream.invalid/errors/${code}`, title: message, status, code, detail, hint }),
  );
}

function events(request, response, begin) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const send = (name, data) =>
    response.write(`event: ${name}\ndata: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
  const end = begin(send);
  request.on('close', end);
}

async function body(request) {
  let text = '';
  for await (const part of request) text += part;
  return JSON.parse(text);
}

async function file(response, path) {
  const inside = normalize(path.replace(/^\/ui\/?/, '')).replace(/^(\.\.[/\\])+/, '');
  const asset = inside.startsWith('assets');
  const name = join(DIST, asset ? inside : 'index.html');
  response.writeHead(200, {
    'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
    'content-security-policy': POLICY,
    'cache-control': asset ? 'max-age=31536000, immutable' : 'no-cache',
  });
  response.end(await readFile(name));
}

function endpoint(project, path, query) {
  const { store } = project;
  const asOf = moment(query.get('as_of'), project.finance.since);
  const of = ENDPOINTS.find((one) => one.path === path);
  for (const parameter of of.params) {
    const given = query.get(parameter.name);
    if (given !== null && parameter.enum && !parameter.enum.includes(given)) {
      throw new Refused(
        400,
        'MS7002',
        `the parameter ${parameter.name} is not one of its values`,
        `given ${given}, expected ${parameter.enum.join(', ')}`,
      );
    }
  }
  const view = VIEWS[ANSWERS[path]];
  let rows = view.rows(store, asOf);
  if (path === '/orders' && !['all', null].includes(query.get('status')))
    rows = rows.filter((row) => row[1] === query.get('status').toUpperCase());
  const number = (column) => /INT/.test(column.type);
  const limit = Number(query.get('limit') ?? of.params.find(({ name }) => name === 'limit').default);
  return rows
    .slice(0, limit)
    .map((row) =>
      Object.fromEntries(view.columns.map((column, at) => [column.name, number(column) ? Number(row[at]) : row[at]])),
    );
}

async function answer(project, request, response, url) {
  const { store } = project;
  const { pathname: path, searchParams: query } = url;
  const parts = path.split('/').map(decodeURIComponent);
  if (path === '/api/login' && request.method === 'POST') {
    project.locked = (await body(request)).key !== 'ms_key';
    if (project.locked) throw new Refused(401, 'MS7113', 'not authenticated', 'the key is not one of this project');
    return json(response, {});
  }
  if (path === '/api/logout' && request.method === 'POST') {
    project.locked = true;
    return response.writeHead(204).end();
  }
  if (project.locked && path.startsWith('/api')) {
    throw new Refused(401, 'MS7113', 'not authenticated', 'this needs a key');
  }
  if (path === '/api/me') {
    const me = { role: 'admin', key: 'a1', admin: true, sql: true, project: 'finance' };
    const authentication = project.scene === 'locked' || project.ofRole;
    return json(response, {
      authentication,
      ...me,
      ...(project.ofRole ? { role: 'clerk', admin: false, sql: false } : {}),
    });
  }
  if (project.ofRole && path.startsWith('/api/') && !ROLES_OWN.some((own) => path.startsWith(own))) {
    throw new Refused(403, 'MS7114', 'not allowed', 'this takes a role with `admin: true`');
  }
  if (path === '/api/status') return json(response, project.status());
  if (path === '/api/tables') {
    const tables = [...store.tables.values()].map((table) => {
      const name = table.name.split('.')[1];
      const history = !project.ofRole || name === 'orders';
      return {
        name: table.name,
        warehouse: { schema: 'analytics', name },
        kind: 'table',
        columns: table.columns,
        history,
        history_since: history ? new Date(project.finance.since).toISOString() : null,
        changes: schemaChanges(name, project.finance.since),
      };
    });
    const seen = project.ofRole ? tables.filter(({ name }) => !/customers|items/.test(name)) : [...tables, ...MODELS];
    return json(response, project.scene === 'empty' ? [] : seen);
  }
  if (path.startsWith('/api/rows/'))
    return json(response, rowsOf(store, project.finance.since, parts[3], parts[4], query));
  if (path.startsWith('/api/row/')) return json(response, rowOf(store, parts[3], parts[4], query));
  if (path === '/api/endpoints') {
    const seen = project.ofRole ? ENDPOINTS.slice(0, 2).map((of) => ({ ...of, file: null })) : ENDPOINTS;
    return json(response, project.scene === 'empty' ? [] : seen);
  }
  if (path === '/api/dashboards') {
    const told = ({ charts, ...of }) => ({ ...of, file: null, charts: charts.map((of) => ({ ...of, sql: null })) });
    const seen = project.ofRole ? DASHBOARDS.map(told) : DASHBOARDS;
    return json(response, project.scene === 'empty' ? [] : seen);
  }
  if (path.startsWith('/api/dashboards/')) {
    const chart = DASHBOARDS.find(({ name }) => name === parts[3])?.charts[Number(parts[4])];
    if (!chart?.sql) throw new Refused(404, 'MS7105', 'not found', `the dashboard ${parts[3]} has no such chart`);
    const found = answerSql(store, chart.sql, moment(query.get('as_of'), project.finance.since), 2000);
    const numbers = found.columns.map((column) => /INT/.test(column.type));
    const value = (cell, at) => (numbers[at] && cell !== null ? Number(cell) : cell);
    const row = (cells) => Object.fromEntries(cells.map((cell, at) => [found.columns[at].name, value(cell, at)]));
    return json(response, found.rows.map(row), { 'millstream-position': found.position });
  }
  if (path === '/api/queries') return json(response, project.scene === 'empty' ? [] : QUERIES);
  if (path === '/api/resync' && request.method === 'POST') {
    const { tables } = await body(request);
    const unknown = tables.find((name) => !store.tables.has(name));
    if (unknown) throw new Refused(400, 'MS6203', `there is no table ${unknown}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    return json(response, { tables: tables.map((name) => ({ name, inserted: 0, updated: 2, deleted: 0 })) });
  }
  if (path === '/api/lineage')
    return json(response, project.scene === 'empty' ? { nodes: [], edges: [] } : lineage(project.lineage));
  if (path === '/api/models') return json(response, project.models.document());
  if (path.startsWith('/api/models/runs/')) {
    const found = project.models.runDetail(parts[4]);
    if (found === null) throw new Refused(404, 'MS7105', 'not found', `there is no run ${parts[4]}`);
    return json(response, found);
  }
  if (path.startsWith('/api/models/') && parts[4] === 'lineage') {
    const found = project.models.columnLineage(parts[3], query.get('column'));
    if (found === null) throw new Refused(404, 'MS7105', 'not found', `there is no such column of ${parts[3]}`);
    return json(response, found);
  }
  if (path.startsWith('/api/models/')) {
    const found = project.models.detail(parts[3]);
    if (found === null) throw new Refused(404, 'MS7105', 'not found', `the project has no node ${parts[3]}`);
    return json(response, found);
  }
  if (path === '/api/sql' && request.method === 'POST') {
    const { sql, as_of, rows_max = 1000 } = await body(request);
    const began = performance.now();
    const found = answerSql(store, sql, moment(as_of, project.finance.since), rows_max);
    return json(response, { ...found, elapsed_ms: performance.now() - began });
  }
  if (path === '/api/changes') {
    const wanted = store.events.filter((event) => !query.get('table') || event.table === query.get('table'));
    const some = project.scene === 'empty' ? [] : wanted.slice(-Number(query.get('limit') ?? 100));
    return json(response, `{"events":[${some.map(({ text }) => text).join(',')}]}`);
  }
  if (path === '/api/changes/stream') {
    return events(request, response, (send) => {
      const listen = (table, text) => (!query.get('table') || table === query.get('table')) && send('change', text);
      store.listeners.add(listen);
      response.flushHeaders();
      return () => store.listeners.delete(listen);
    });
  }
  if (path === '/api/stream') {
    return events(request, response, (send) => {
      send('history', project.samples);
      const listen = (sample) => send('sample', sample);
      project.listeners.add(listen);
      return () => project.listeners.delete(listen);
    });
  }
  if (path in ANSWERS) {
    if (request.headers.accept === 'text/event-stream') {
      return events(request, response, (send) => {
        const tell = () => send('message', endpoint(project, path, query));
        tell();
        project.listeners.add(tell);
        return () => project.listeners.delete(tell);
      });
    }
    return json(response, endpoint(project, path, query), {
      'millstream-position': printLsn(store.lsn),
      'cache-control': 'max-age=10',
    });
  }
  if (path === '/') return response.writeHead(302, { location: '/ui/' }).end();
  if (path.startsWith('/ui')) return file(response, path);
  throw new Refused(404, 'MS7001', `nothing answers at ${path}`);
}

/** Starts it; `stop` ends it with every connection, as a kill would. */
export async function start({ port = 8080, ...options } = {}) {
  const project = new Project(options);
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    answer(project, request, response, url).catch((error) => refuse(response, error));
  });
  const timer = setInterval(() => project.tick(), 1000);
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = async () => {
    clearInterval(timer);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { project, stop, address: `http://127.0.0.1:${server.address().port}` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { address } = await start({ port: Number(process.argv[2] ?? 8080), scene: process.argv[3] ?? 'well' });
  console.log(`${address}/ui/`);
}
