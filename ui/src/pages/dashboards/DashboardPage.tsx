// One dashboard: its charts, asked again when the warehouse has moved on.

import { useEffect, useRef, useState } from 'react';
import { postJson, withQuery } from '../../api/client';
import type { Answer, Cell, ChartSpec, Column, Dashboard } from '../../api/contract';
import { useLastSample } from '../../api/live';
import { useJson, useResource } from '../../api/resource';
import { endpointAddress, sqlAddress } from '../../app/addresses';
import { Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { useHistorySince } from '../../app/status';
import { Chart } from '../../charts/Chart';
import { AsOf } from '../../data/AsOf';
import { send } from '../endpoints/request';

/** Often enough to be live, rarely enough that a dashboard on a wall costs little. */
const REFRESH_MS = 2000;
const ROWS_MAX = 2000;
const HEIGHT = 240;

interface ChartData {
  columns: Column[];
  rows: Cell[][];
}

async function read(chart: ChartSpec, asOf: string | null, signal: AbortSignal): Promise<ChartData> {
  if (chart.endpoint) return send(withQuery(chart.endpoint, [['as_of', asOf]]), signal);
  return postJson<Answer>('/api/sql', { sql: chart.sql, rows_max: ROWS_MAX, ...(asOf ? { as_of: asOf } : {}) }, signal);
}

/** Counts up when the warehouse has moved on, at most so often, and not while nobody looks. */
function useTide(fixed: boolean): number {
  const applied = useLastSample()?.applied_lsn ?? null;
  const [tide, setTide] = useState(0);
  const last = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new position is what makes the tide
  useEffect(() => {
    if (fixed) return;
    const wait = Math.max(0, last.current + REFRESH_MS - Date.now());
    const timer = setTimeout(() => {
      if (document.hidden) return;
      last.current = Date.now();
      setTide((tide) => tide + 1);
    }, wait);
    return () => clearTimeout(timer);
  }, [applied, fixed]);
  return tide;
}

function ChartCard({ chart, asOf, tide }: { chart: ChartSpec; asOf: string | null; tide: number }) {
  const key = `chart ${chart.sql ?? ''} ${chart.endpoint ?? ''} ${asOf ?? ''}`;
  const data = useResource<ChartData>(key, (signal) => read(chart, asOf, signal));
  const { reload } = data;
  const first = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each tide asks again, but for the first, which was asked already
  useEffect(() => {
    if (!first.current) reload();
    first.current = false;
  }, [tide]);
  const to = chart.sql ? sqlAddress(chart.sql) : endpointAddress(chart.endpoint ?? '');
  return (
    <section className={`card chart-card chart-card-${chart.kind}`}>
      <div className="row chart-card-head">
        <h2 className="grow">{chart.title}</h2>
        <Link to={to}>{chart.sql ? 'SQL' : 'Endpoint'}</Link>
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
function rowsOf(charts: ChartSpec[]): ChartSpec[][] {
  const rows: ChartSpec[][] = [];
  for (const chart of charts) {
    const last = rows.at(-1);
    if (last && (last[0]?.kind === 'number') === (chart.kind === 'number')) last.push(chart);
    else rows.push([chart]);
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
    <Page title={dashboard?.title ?? name}>
      {dashboards.error && !dashboards.data ? (
        <ErrorNote problem={dashboards.error} onRetry={dashboards.reload} />
      ) : null}
      {dashboards.data && !dashboard ? (
        <Empty title={`There is no dashboard ${name}.`}>
          <Link to="/dashboards">All dashboards</Link>
        </Empty>
      ) : null}
      {dashboard ? (
        <>
          <AsOf value={asOf} since={since} />
          <div className="dashboard live">
            {rowsOf(dashboard.charts).map((row) => (
              <div key={row[0]?.title} className={row[0]?.kind === 'number' ? 'dashboard-numbers' : 'dashboard-charts'}>
                {row.map((chart) => (
                  <ChartCard key={chart.title} chart={chart} asOf={asOf} tide={tide} />
                ))}
              </div>
            ))}
          </div>
        </>
      ) : null}
    </Page>
  );
}
