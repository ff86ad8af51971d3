// Which page an address means. The overview is in the first load; every other page comes when it is asked for.

import { Component, type ComponentType, lazy, type ReactNode, Suspense, useEffect } from 'react';
import { problemOf } from '../api/client';
import { Overview } from '../pages/overview/Overview';
import { may, useMe } from './me';
import { Empty, ErrorNote, Skeleton } from './Notes';
import { pageOf, pagesFor } from './navigation';
import { go, Link, usePlace } from './router';
import { Page, Shell } from './Shell';

const Tables = lazy(() => import('../pages/tables/Tables'));
const TablePage = lazy(() => import('../pages/table/TablePage'));
const RowPage = lazy(() => import('../pages/row/RowPage'));
const SqlPage = lazy(() => import('../pages/sql/SqlPage'));
const Changes = lazy(() => import('../pages/changes/Changes'));
const Endpoints = lazy(() => import('../pages/endpoints/Endpoints'));
const Dashboards = lazy(() => import('../pages/dashboards/Dashboards'));
const DashboardPage = lazy(() => import('../pages/dashboards/DashboardPage'));
const Models = lazy(() => import('../pages/models/Models'));
const ModelPage = lazy(() => import('../pages/models/ModelPage'));
const RunPage = lazy(() => import('../pages/models/RunPage'));
const LineagePage = lazy(() => import('../pages/lineage/LineagePage'));

// biome-ignore lint/suspicious/noExplicitAny: each pattern's parts are the properties of its own page
const ROUTES: [RegExp, ComponentType<any>, string[]][] = [
  [/^\/$/, Overview, []],
  [/^\/tables$/, Tables, []],
  [/^\/tables\/([^/]+)\/([^/]+)$/, TablePage, ['schema', 'name']],
  [/^\/tables\/([^/]+)\/([^/]+)\/row$/, RowPage, ['schema', 'name']],
  [/^\/sql$/, SqlPage, []],
  [/^\/changes$/, Changes, []],
  [/^\/endpoints$/, Endpoints, []],
  [/^\/dashboards$/, Dashboards, []],
  [/^\/dashboards\/([^/]+)$/, DashboardPage, ['name']],
  [/^\/models$/, Models, []],
  [/^\/models\/([^/]+)$/, ModelPage, ['id']],
  [/^\/models\/runs\/([^/]+)$/, RunPage, ['id']],
  [/^\/lineage$/, LineagePage, []],
];

interface BoundaryState {
  error: unknown;
}

/** Keeps the navigation when a page fails: a chunk that a newer server no longer has, or a fault of ours. */
class Boundary extends Component<{ children: ReactNode }, BoundaryState> {
  override state: BoundaryState = { error: null };

  static getDerivedStateFromError(error: unknown): BoundaryState {
    return { error };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <Page title="This page failed">
        <ErrorNote problem={problemOf(this.state.error)} onRetry={() => window.location.reload()} />
      </Page>
    );
  }
}

function NotFound() {
  return (
    <Page title="No such page">
      <Empty title="Nothing lives at this address.">
        <Link to="/">The overview</Link> is a place to start, and <kbd>Ctrl</kbd> <kbd>K</kbd> goes anywhere.
      </Empty>
    </Page>
  );
}

/** A page that shows more of the project than a role may see. The first page is where everybody begins, so it leads on. */
function NotForRole({ path, role }: { path: string; role: string | null }) {
  const me = useMe();
  const first = pagesFor(me)[0]?.pages[0]?.path;
  const leads = path === '/' && first !== undefined;
  useEffect(() => {
    if (leads) go(first, { replace: true });
  }, [leads, first]);
  if (leads) return null;
  return (
    <Page title="Not for this key">
      <Empty title="This page shows what is before any role’s rows and masks.">
        It takes a role with <code>admin: true</code>; this key’s is <code>{role}</code>. Its tables and endpoints are
        in the navigation, and <a href="/docs">/docs</a> says what programs may ask.
      </Empty>
    </Page>
  );
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function App() {
  const { path } = usePlace();
  const me = useMe();
  const plain = path.length > 1 ? path.replace(/\/+$/, '') : path;
  const page = pageOf(plain);
  if (page !== undefined && !may(me, page.needs)) {
    return (
      <Shell>
        <NotForRole path={plain} role={me?.role ?? null} />
      </Shell>
    );
  }
  for (const [pattern, Show, names] of ROUTES) {
    const match = pattern.exec(plain);
    if (match === null) continue;
    const properties = Object.fromEntries(names.map((name, at) => [name, decoded(match[at + 1] ?? '')]));
    return (
      <Shell>
        <Boundary key={plain}>
          <Suspense
            fallback={
              <div className="page">
                <Skeleton lines={10} />
              </div>
            }
          >
            <Show {...properties} />
          </Suspense>
        </Boundary>
      </Shell>
    );
  }
  return (
    <Shell>
      <NotFound />
    </Shell>
  );
}
