// What programs ask: each endpoint with its parameters, and a form to try it.

import type { Endpoint } from '../../api/contract';
import { useJson } from '../../api/resource';
import { endpointAddress } from '../../app/addresses';
import { Command, Empty, ErrorNote, Skeleton } from '../../app/Notes';
import { Link, usePlace } from '../../app/router';
import { Page } from '../../app/Shell';
import { Trial } from './Trial';

export default function Endpoints() {
  const endpoints = useJson<Endpoint[]>('/api/endpoints');
  const { query } = usePlace();
  const chosen = endpoints.data?.find(({ path }) => path === query.get('path')) ?? endpoints.data?.[0];
  return (
    <Page
      title="Endpoints"
      lead={
        <>
          Defined by the SQL files in <code>api/</code>. For programs: <a href="/openapi.json">OpenAPI</a>,{' '}
          <a href="/docs">documentation</a>.
        </>
      }
    >
      {endpoints.error && !endpoints.data ? <ErrorNote problem={endpoints.error} onRetry={endpoints.reload} /> : null}
      {endpoints.data === undefined && !endpoints.error ? <Skeleton lines={8} /> : null}
      {endpoints.data?.length === 0 ? (
        <Empty title="No endpoint is defined.">
          A file <code>api/orders.sql</code> with a SELECT answers at <code>/orders</code>;{' '}
          <Command text="millstream help" /> says more.
        </Empty>
      ) : null}
      {endpoints.data && chosen ? (
        <div className="sided">
          <nav aria-label="Endpoints" className="side-list">
            <ul>
              {endpoints.data.map((endpoint) => (
                <li key={endpoint.path}>
                  <Link
                    to={endpointAddress(endpoint.path)}
                    className="side-link"
                    aria-current={endpoint.path === chosen.path ? 'true' : undefined}
                  >
                    <span className="data">{endpoint.path}</span>
                    {endpoint.error ? <span className="state red">fails</span> : null}
                    {endpoint.live && !endpoint.error ? <span className="faint">live</span> : null}
                  </Link>
                </li>
              ))}
            </ul>
          </nav>
          <Trial key={chosen.path} endpoint={chosen} />
        </div>
      ) : null}
    </Page>
  );
}
