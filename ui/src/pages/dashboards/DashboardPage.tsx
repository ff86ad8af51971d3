// One dashboard: its charts, asked again when the warehouse has moved on.

import { useEffect, useRef, useState } from 'react';
import { problemOfFile, withQuery } from '../../api/client';
import type { Cell, ChartSpec, Column, Dashboard } from '../../api/contract';
import { useLastSample } from '../../api/live';
import { useJson, useResource } from '../../api/resource';
import { endpointAddress, sqlAddress } from '../../app/addresses';
import { useAsksSql, useSeesAll } from '../../app/me';
import { Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { useHistorySince } from '../../app/status';
import { Chart } from '../../charts/Chart';
import { AsOf } from '../../data/AsOf';
import { send } from '../endpoints/request';

/** Often enough to be live, rarely enough that a dashboard on a wall costs little. */
const REFRESH_MS = 2000;
const HEIGHT = 240;

interface ChartData {
  columns: Column[];
  rows: Cell[][];
}

/** Where a chart's rows are. Its SQL is the project's own: the server is told which chart, and not what to ask. */
function pathOf(dashboard: string, at: number, chart: ChartSpec, asOf: string | null): string {
  const path = chart.endpoint ?? `/api/dashboards/${encodeURIComponent(dashboard)}/${at}`;
  return withQuery(path, [['as_of', asOf]]);
}

/**
 * Counts up when the warehouse has moved on, at most so often, and not while nobody looks. Whoever isn't told how far it is asks so often: where nothing
 * has changed, the answer is short.
 */
function useTide(fixed: boolean): number {
  const seesAll = useSeesAll();
  const applied = useLastSample(seesAll)?.applied_lsn ?? null;
  const [tide, setTide] = useState(0);
  useEffect(() => {
    if (fixed || seesAll) return;
    const timer = setInterval(() => {
      if (!document.hidden) setTide((tide) => tide + 1);
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [fixed, seesAll]);
  const last = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new position is what makes the tide
  useEffect(() => {
    if (fixed || !seesAll) return;
    const wait = Math.max(0, last.current + REFRESH_MS - Date.now());
    const timer = setTimeout(() => {
      if (document.hidden) return;
      last.current = Date.now();
      setTide((tide) => tide + 1);
    }, wait);
    return () => clearTimeout(timer);
  }, [applied, fixed, seesAll]);
  return tide;
}

/** Where what a chart draws can be looked at by itself. */
function linkOf({ sql, endpoint }: ChartSpec, asks: boolean): { name: string; address: string } | null {
  if (endpoint) return { name: 'Endpoint', address: endpointAddress(endpoint.split('?')[0] ?? '') };
  return sql && asks ? { name: 'SQL', address: sqlAddress(sql) } : null;
}

function ChartCard({ chart, path, tide }: { chart: ChartSpec; path: string; tide: number }) {
  const data = useResource<ChartData>(`chart ${path}`, (signal) => send(path, signal));
  const { reload } = data;
  const first = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each tide asks again, but for the first, which was asked already
  useEffect(() => {
    if (!first.current) reload();
    first.current = false;
  }, [tide]);
  const asks = useAsksSql();
  const to = linkOf(chart, asks);
  return (
    <section className={`card chart-card chart-card-${chart.kind}`}>
      <div className="row chart-card-head">
        <h2 className="grow">{chart.title}</h2>
        {to ? <Link to={to.address}>{to.name}</Link> : null}
      </div>
      {data.error && !data.data ? <ErrorNote problem={data.error} onRetry={data.reload} /> : null}
      {data.data === undefined && !data.error ? (
        <div style={{ minHeight: chart.kind === 'number' ? 60 : HEIGHT }}>
          <Skeleton lines={chart.kind === 'number' ? 1 : 5} />
        </div>
      ) : null}
      {data.data ? (
        <Chart
          kind={chart.kind}
          title={chart.title}
          columns={data.data.columns}
          rows={data.data.rows}
          x={chart.x}
          y={chart.y}
          color={chart.color}
          height={HEIGHT}
        />
      ) : null}
    </section>
  );
}

/** Numbers that follow each other share a row of their own: beside a chart they would leave a hole. */
function rowsOf(charts: ChartSpec[]): { chart: ChartSpec; at: number }[][] {
  const rows: { chart: ChartSpec; at: number }[][] = [];
  for (const [at, chart] of charts.entries()) {
    const last = rows.at(-1);
    if (last && (last[0]?.chart.kind === 'number') === (chart.kind === 'number')) last.push({ chart, at });
    else rows.push([{ chart, at }]);
  }
  return rows;
}

export default function DashboardPage({ name }: { name: string }) {
  const dashboards = useJson<Dashboard[]>('/api/dashboards');
  const asOf = usePlace().query.get('as_of');
  const since = useHistorySince();
  const tide = useTide(asOf !== null);
  const dashboard = dashboards.data?.find((one) => one.name === name);
  return (
    <Page title={dashboard?.title ?? name} lead={dashboard?.description ?? undefined}>
      {dashboards.error && !dashboards.data ? (
        <ErrorNote problem={dashboards.error} onRetry={dashboards.reload} />
      ) : null}
      {dashboards.data && !dashboard ? (
        <Empty title={`There is no dashboard ${name}.`}>
          <Link to="/dashboards">All dashboards</Link>
        </Empty>
      ) : null}
      {dashboard?.error ? <ErrorNote problem={problemOfFile(dashboard.error)} onRetry={dashboards.reload} /> : null}
      {dashboard && !dashboard.error ? (
        <>
          <AsOf value={asOf} since={since} />
          <div className="dashboard live">
            {rowsOf(dashboard.charts).map((row) => (
              <div
                key={row[0]?.at}
                className={row[0]?.chart.kind === 'number' ? 'dashboard-numbers' : 'dashboard-charts'}
              >
                {row.map(({ chart, at }) => (
                  <ChartCard key={at} chart={chart} path={pathOf(name, at, chart, asOf)} tide={tide} />
                ))}
              </div>
            ))}
          </div>
        </>
      ) : null}
    </Page>
  );
}
