// The dashboards of the project.

import type { Dashboard } from '../../api/contract';
import { useJson } from '../../api/resource';
import { dashboardAddress } from '../../app/addresses';
import { useSeesAll } from '../../app/me';
import { Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link } from '../../app/router';
import { Page } from '../../app/Shell';
import { plural } from '../../format/quantity';

const EXAMPLE = `title: Orders
charts:
  - {title: Open orders, sql: "select count(*) from analytics.orders where status = 'OPEN'", kind: number}`;

export default function Dashboards() {
  const dashboards = useJson<Dashboard[]>('/api/dashboards');
  const seesAll = useSeesAll();
  return (
    <Page
      title="Dashboards"
      lead={
        <>
          Defined by the files in <code>dashboards/</code>; live while they are seen.
        </>
      }
    >
      {dashboards.error && !dashboards.data ? (
        <ErrorNote problem={dashboards.error} onRetry={dashboards.reload} />
      ) : null}
      {dashboards.data === undefined && !dashboards.error ? <Skeleton lines={6} /> : null}
      {dashboards.data?.length === 0 && !seesAll ? (
        <Empty title="No dashboard is for your role.">
          Whoever keeps the project adds it to <code>roles</code> in a file of <code>dashboards/</code>.
        </Empty>
      ) : null}
      {dashboards.data?.length === 0 && seesAll ? (
        <Empty title="No dashboard is defined.">
          A file <code>dashboards/orders.yml</code> makes one:
          <pre className="example">{EXAMPLE}</pre>
        </Empty>
      ) : null}
      <ul className="dashboard-list">
        {dashboards.data?.map(({ name, title, description, charts, error }) => (
          <li key={name} className="card">
            <h2>
              <Link to={dashboardAddress(name)}>{title}</Link>
            </h2>
            {error ? (
              <p className="state red">{error.split('\n')[0]}</p>
            ) : (
              <>
                <p className="quiet">{description ?? plural(charts.length, 'chart')}</p>
                <p className="faint">{charts.map((chart) => chart.title).join(', ')}</p>
              </>
            )}
          </li>
        ))}
      </ul>
    </Page>
  );
}
