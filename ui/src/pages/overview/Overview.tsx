// The first page: the stream as a picture, what is wrong with its remedy, and the last fifteen minutes.

import type { ReactNode } from 'react';
import type { Dashboard, Endpoint, Sample, Status, Table } from '../../api/contract';
import { useLive } from '../../api/live';
import { useJson } from '../../api/resource';
import { changesAddress, tableAddress } from '../../app/addresses';
import { useNow } from '../../app/clock';
import { Command, Empty, ErrorNote } from '../../app/Notes';
import { Link } from '../../app/router';
import { Page } from '../../app/Shell';
import { StateMark } from '../../app/StateMark';
import { useStatus } from '../../app/status';
import { Sparkline } from '../../charts/Sparkline';
import { plural, printCount, printRate, printSeconds, printSize } from '../../format/quantity';
import { printAge } from '../../format/time';
import { commitAge, type Flow, flowOf, rowsRate } from './flow';
import { Picture } from './Picture';
import { type Place, type Trouble, troublesOf } from './trouble';
import './overview.css';

const SPAN_MS = 15 * 60 * 1000;
const PLACES: Place[] = ['source', 'log', 'warehouse', 'served'];

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Data({ children }: { children: ReactNode }) {
  return <span className="data">{children ?? '–'}</span>;
}

function TroubleNote({ trouble }: { trouble: Trouble }) {
  return (
    <div className={`note ${trouble.severity} trouble-at-${trouble.place}`} role="alert">
      <p className="note-head">
        {trouble.code ? <code className="note-code">{trouble.code}</code> : null}
        {trouble.title}
      </p>
      {trouble.detail ? <p className="note-hint">{trouble.detail}</p> : null}
      {trouble.hint ? <p className="note-hint">{trouble.hint}</p> : null}
      {trouble.command ? <Command text={trouble.command} /> : null}
    </div>
  );
}

interface Served {
  /** Undefined while they are not known. */
  models: Table[] | undefined;
  endpoints: Endpoint[] | undefined;
  dashboards: Dashboard[] | undefined;
}

function Stations({
  status,
  sample,
  flow,
  served,
}: {
  status: Status | undefined;
  sample: Sample | undefined;
  flow: Flow;
  served: Served;
}) {
  // Without an answer the places are there already, so that nothing moves when it comes.
  const { source, log, warehouse } = status ?? {};
  return (
    <div className="stations">
      <section className="station live">
        <h2>Source</h2>
        <dl>
          <Fact name="server">
            <Data>{source?.address}</Data>
          </Fact>
          <Fact name="slot">
            <Data>{source?.slot}</Data>
          </Fact>
          <Fact name="at">
            <Data>{sample?.current_lsn ?? source?.current_lsn}</Data>
          </Fact>
          <Fact name="WAL kept for us">{printSize(sample?.wal_retained_bytes ?? source?.wal_retained_bytes)}</Fact>
        </dl>
      </section>
      <section className="station live">
        <h2>Log</h2>
        <dl>
          <Fact name="holds">
            {printSize(sample?.log_bytes ?? log?.bytes)} of {printSize(log?.bytes_max)}
          </Fact>
          <Fact name="from">
            <Data>{log?.first_position}</Data>
          </Fact>
          <Fact name="durable to">
            <Data>{sample?.flushed_lsn ?? log?.last_position}</Data>
          </Fact>
          <Fact name="waiting">{printSize(flow.waitingBytes)}</Fact>
        </dl>
      </section>
      <section className="station live">
        <h2>Warehouse</h2>
        <dl>
          <Fact name="applies">
            {printRate(flow.rows)} rows/s in {printRate(flow.transactions)} transactions/s
          </Fact>
          <Fact name="applied to">
            <Data>{sample?.applied_lsn ?? warehouse?.applied_lsn}</Data>
          </Fact>
          <Fact name="behind the source">
            {printSize(sample?.lag_bytes ?? source?.lag_bytes)},{' '}
            {printSeconds(sample?.lag_seconds ?? source?.lag_seconds)}
          </Fact>
          <Fact name="size">{printSize(warehouse?.bytes)}</Fact>
        </dl>
      </section>
      <section className="station">
        <h2>Served</h2>
        <dl>
          <Fact name="models">
            <Link to="/lineage">{printCount(served.models?.length)}</Link>
          </Fact>
          <Fact name="endpoints">
            <Link to="/endpoints">{printCount(served.endpoints?.length)}</Link>
            {served.endpoints?.some((endpoint) => endpoint.error) ? (
              <span className="state red"> some fail</span>
            ) : null}
          </Fact>
          <Fact name="dashboards">
            <Link to="/dashboards">{printCount(served.dashboards?.length)}</Link>
          </Fact>
        </dl>
      </section>
    </div>
  );
}

/** What the picture shows, for who does not see it. */
function PictureAsTable({ flow, sample, troubles }: { flow: Flow; sample: Sample | undefined; troubles: Trouble[] }) {
  const trouble = (place: Place) =>
    troubles
      .filter((one) => one.place === place)
      .map((one) => one.title)
      .join('; ') || 'none';
  return (
    <div className="hidden">
      <table>
        <caption>The stream, from source to what is served</caption>
        <thead>
          <tr>
            <th>part</th>
            <th>state</th>
            <th>trouble</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th>source</th>
            <td>{printSize(flow.captureBytes)} of WAL a second</td>
            <td>{trouble('source')}</td>
          </tr>
          <tr>
            <th>log</th>
            <td>
              {printSize(sample?.log_bytes)} of {printSize(sample?.log_bytes_max)}, {printSize(flow.waitingBytes)}{' '}
              waiting
            </td>
            <td>{trouble('log')}</td>
          </tr>
          <tr>
            <th>warehouse</th>
            <td>{printRate(flow.rows)} rows a second</td>
            <td>{trouble('warehouse')}</td>
          </tr>
          <tr>
            <th>served</th>
            <td>models, endpoints and dashboards follow</td>
            <td>{trouble('served')}</td>
          </tr>
        </tbody>
      </table>
    </div>
  );
}

function Multiples({ samples, troubles }: { samples: readonly Sample[]; troubles: Trouble[] }) {
  const has = (id: string) => troubles.some((trouble) => trouble.id === id);
  const shared = { spanMs: SPAN_MS };
  return (
    <section className="multiples live" aria-label="The last 15 minutes">
      <Sparkline
        {...shared}
        name="Lag"
        points={samples.map(({ at, lag_seconds }) => ({ at, value: lag_seconds }))}
        print={printSeconds}
        least={0.5}
        trouble={has('lag')}
      />
      <Sparkline
        {...shared}
        name="WAL kept at the source"
        points={samples.map(({ at, wal_retained_bytes }) => ({ at, value: wal_retained_bytes }))}
        print={printSize}
        least={1e6}
        trouble={has('retained')}
      />
      <Sparkline
        {...shared}
        name="Rows applied"
        points={rowsRate(samples)}
        print={(value) => (value === null ? '–' : `${printRate(value)}/s`)}
        least={10}
      />
      <Sparkline {...shared} name="Since the last commit" points={commitAge(samples)} print={printSeconds} least={5} />
    </section>
  );
}

function TablesBrief({ status, tables }: { status: Status; tables: Table[] }) {
  const now = useNow();
  const places = new Map(tables.map(({ name, warehouse }) => [name, tableAddress(warehouse.schema, warehouse.name)]));
  return (
    <section className="live">
      <h2 className="section-name">Tables</h2>
      <div className="list-around">
        <table className="list">
          <thead>
            <tr>
              <th>table</th>
              <th>state</th>
              <th className="number">rows</th>
              <th className="number">versions</th>
              <th>applied</th>
              <th>
                <span className="hidden">changes</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {status.tables.map((table) => (
              <tr key={table.name}>
                <td>
                  <Link to={places.get(table.name) ?? '/tables'} className="data">
                    {table.name}
                  </Link>
                </td>
                <td>
                  <StateMark state={table.state} />
                </td>
                <td className="number">{printCount(table.rows)}</td>
                <td className="number">{printCount(table.history_rows)}</td>
                <td>{printAge(table.applied_at, now)}</td>
                <td>
                  <Link to={changesAddress(table.name)}>Changes</Link>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function Overview() {
  const status = useStatus();
  const { samples, connection } = useLive();
  const tables = useJson<Table[]>('/api/tables').data;
  const endpoints = useJson<Endpoint[]>('/api/endpoints').data;
  const dashboards = useJson<Dashboard[]>('/api/dashboards').data;
  const served = { models: tables?.filter(({ kind }) => kind === 'view'), endpoints, dashboards };
  const sample = samples.at(-1);
  const flow = flowOf(samples);
  const troubles = troublesOf(status.data, sample);
  const counts = { models: served.models?.length, endpoints: endpoints?.length, dashboards: dashboards?.length };
  const wrong =
    connection === 'lost'
      ? 'As it was when the connection was lost'
      : troubles.length > 0
        ? `${plural(troubles.length, 'thing')} to look at`
        : 'Nothing is wrong';

  return (
    <Page title="Overview" lead={status.data ? <span>{wrong}.</span> : <span>&nbsp;</span>}>
      {status.error && !status.data ? <ErrorNote problem={status.error} onRetry={status.reload} /> : null}
      <section className="overview-picture card" aria-label="The stream">
        <Picture
          flow={flow}
          logBytes={sample?.log_bytes ?? status.data?.log.bytes ?? 0}
          logBytesMax={sample?.log_bytes_max ?? status.data?.log.bytes_max ?? 0}
          troubles={troubles}
          served={counts}
          still={connection === 'lost'}
        />
        <PictureAsTable flow={flow} sample={sample} troubles={troubles} />
        {PLACES.some((place) => troubles.some((trouble) => trouble.place === place)) ? (
          <div className="troubles">
            {PLACES.flatMap((place) => troubles.filter((trouble) => trouble.place === place)).map((trouble) => (
              <TroubleNote key={trouble.id} trouble={trouble} />
            ))}
          </div>
        ) : null}
        <Stations status={status.data} sample={sample} flow={flow} served={served} />
      </section>
      <Multiples samples={samples} troubles={troubles} />
      {status.data && status.data.tables.length > 0 ? <TablesBrief status={status.data} tables={tables ?? []} /> : null}
      {status.data && status.data.tables.length === 0 ? (
        <Empty title="No table is replicated yet.">
          source.postgres.tables in millstream.yml chooses them; <Command text="millstream plan" /> says what it
          matches.
        </Empty>
      ) : null}
    </Page>
  );
}
