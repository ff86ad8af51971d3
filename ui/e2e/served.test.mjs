// Every page over a real server with the finance example at work: MILLSTREAM_HTTP says where.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { open } from './browser.mjs';
import { at, browser, narrowTest, pageTest, seen, server } from './served.mjs';

let order;

async function sql(text) {
  const response = await fetch(`${server}/api/sql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sql: text }),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()).rows;
}

before(async () => {
  const found = await sql(
    'SELECT order_id FROM analytics.orders_history GROUP BY order_id ORDER BY count(*) DESC, order_id LIMIT 1',
  );
  order = found[0][0];
});

test('the first load is under 300 kB as it is sent', async () => {
  const { page, close } = await open(browser);
  const sizes = [];
  page.on('requestfinished', (request) => {
    if (new URL(request.url()).pathname.startsWith('/ui')) sizes.push(request.sizes());
  });
  await page.goto(`${server}/ui/`);
  await seen(page, '.sparkline');
  await page.waitForTimeout(500);
  const bytes = (await Promise.all(sizes)).reduce(
    (sum, size) => sum + size.responseBodySize + size.responseHeadersSize,
    0,
  );
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  await close();
  console.log(`first load: ${bytes} bytes, first paint after ${Math.round(paint)} ms`);
  assert.ok(bytes > 50_000 && bytes < 300_000, `${bytes} bytes`);
});

pageTest('tables', '/tables', async (page) => {
  await page.getByRole('link', { name: 'operations.order_items' }).waitFor();
  await page.getByRole('link', { name: 'analytics.top_customers_with_pending_orders' }).waitFor();
  assert.equal(await page.getByRole('button', { name: /^Resync operations/ }).count(), 4);
});

pageTest('table', '/tables/analytics/orders?order=order_id.desc&filter=status.eq.PENDING', async (page) => {
  await seen(page, '[role=gridcell]');
  await page.locator('.grid').focus();
  await page.keyboard.press('ArrowDown');
});

pageTest('schema', '/tables/analytics/orders?tab=schema', async (page) => {
  await page.getByText('timestamp(3) with time zone').first().waitFor();
  await page.getByText('Certain throughout.').waitFor();
});

pageTest(
  'row',
  () => `/tables/analytics/orders/row?key.order_id=${order}`,
  async (page) => {
    await seen(page, '.timeline .version.update');
    await page.getByRole('button', { name: 'What else it changed' }).first().click();
    await page.locator('.transaction').getByText('analytics.orders').first().waitFor();
  },
);

pageTest('model', '/tables/analytics/open_pending_items_by_product', async (page) => {
  await page.getByText('always current').first().waitFor();
  await seen(page, '.grid, .note');
});

pageTest(
  'sql',
  `/sql?q=${encodeURIComponent('SELECT status, count(*) AS orders\nFROM analytics.orders\nGROUP BY status\nORDER BY orders DESC')}&tab=chart`,
  async (page) => {
    await page.getByRole('button', { name: 'Customers over time' }).waitFor();
    await seen(page, '.chart-tab svg');
  },
);

pageTest('changes', '/changes?table=operations.orders', async (page) => {
  await page.getByText(/^Live; [1-9]/).waitFor();
  // Its lines are the same few elements while events pass through: the first update that stands still is taken.
  const updated = page.locator('.tail-row', { hasText: 'update' }).first();
  await updated.waitFor();
  await page.keyboard.press('p');
  if (!(await updated.isVisible())) await page.getByRole('button', { name: 'update' }).click();
  await updated.click();
  await seen(page, '.event-detail');
});

pageTest('lineage', '/lineage', async (page) => {
  await page.getByText(/4 sources, 4 tables, 7 models, 4 endpoints, 2 dashboards/).waitFor();
  await seen(page, '.map-node');
});

pageTest('endpoints', '/endpoints?path=/orders/customers', async (page) => {
  await seen(page, '[role=gridcell]');
  await page.getByText('The customers with the most orders of a status').waitFor();
});

pageTest('dashboards', '/dashboards', async (page) => {
  await page.getByRole('link', { name: 'Deliveries' }).waitFor();
  await page.getByRole('link', { name: 'Reports' }).waitFor();
});

for (const [name, charts] of [
  ['deliveries', 3],
  ['reports', 4],
]) {
  pageTest(`dashboard-${name}`, `/dashboards/${name}`, async (page) => {
    await page.waitForFunction((charts) => document.querySelectorAll('.chart-card svg').length >= charts, charts);
    await page.waitForFunction(() => document.querySelectorAll('.skeleton').length === 0);
    assert.equal(await page.getByRole('alert').count(), 0);
  });
}

// Last of the pages: its curves have begun by then.
pageTest('overview', '/', async (page) => {
  await seen(page, '.sparkline');
  await page
    .getByText(/Streaming/i)
    .first()
    .waitFor();
  await page
    .getByText(/\d endpoints/)
    .first()
    .waitFor();
  assert.equal(await page.getByRole('alert').count(), 0);
});

test('the as-of slider reads the table as it was', () =>
  at('/tables/analytics/orders', async (page) => {
    const total = async () => Number((await page.locator('.grid-foot span').first().textContent()).replace(/\D/g, ''));
    await seen(page, '[role=gridcell]');
    const now = await total();
    await page.locator('input[type=range]').focus();
    await page.keyboard.press('Home');
    await page.waitForURL(/as_of=/);
    // Right at the beginning of the history there may be none yet; a step behind it there is.
    await page.keyboard.press('PageUp');
    await page.waitForFunction(
      (now) => Number(document.querySelector('.grid-foot span')?.textContent.replace(/\D/g, '') || now) < now,
      now,
    );
    await page.getByRole('button', { name: 'Back to now' }).click();
    await page.waitForFunction(
      (now) => Number(document.querySelector('.grid-foot span')?.textContent.replace(/\D/g, '')) >= now,
      now,
    );
  }));

test('a row opens from the grid with its history', () =>
  at('/tables/analytics/products?order=product_id', async (page) => {
    await seen(page, '[role=gridcell]');
    await page.locator('.grid').focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await seen(page, '.timeline');
    assert.match(page.url(), /row\?key\.product_id=/);
  }));

test('SQL completes names and runs', () =>
  at('/sql', async (page) => {
    await page.getByLabel('SQL').click();
    await page.keyboard.type('SELECT * FROM analytics.custo');
    await page.locator('.cm-tooltip-autocomplete').getByText('customers', { exact: true }).waitFor();
    await page.waitForTimeout(150);
    await page.keyboard.press('Enter');
    await page.keyboard.type(' LIMIT 5');
    await page.keyboard.press('Control+Enter');
    await page.getByText('5 rows').waitFor();
  }));

test('what a statement may not reach is an error with its code', () =>
  at(`/sql?q=${encodeURIComponent("SELECT * FROM read_csv('/etc/passwd')")}`, async (page) => {
    await page.getByRole('alert').getByText(/^MS5/).waitFor();
  }));

test('a live endpoint is followed', () =>
  at('/endpoints?path=/orders', async (page) => {
    await seen(page, '[role=gridcell]');
    await page.getByRole('button', { name: 'Follow live' }).click();
    await page.getByRole('button', { name: /Live, ([2-9]|\d\d+) updates/ }).waitFor();
  }));

test('a table is read again by its name', () =>
  at('/tables', async (page) => {
    await page.getByRole('button', { name: 'Resync operations.customers' }).click();
    await page.getByLabel('Name of the table').fill('operations.customers');
    await page.getByRole('button', { name: 'Resync', exact: true }).click();
    await page.getByText('was read again: nothing differed').waitFor();
  }));

test('the palette finds saved queries and dashboards', () =>
  at('/', async (page) => {
    await seen(page, '.sparkline');
    await page.keyboard.press('Control+k');
    await page.keyboard.type('Customers over');
    await page.getByRole('option', { name: /Customers over time/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/ui\/sql\?q=/);
    await seen(page, '[role=gridcell]');
  }));

narrowTest([
  '/',
  '/tables',
  '/tables/analytics/orders',
  '/sql',
  '/changes',
  '/models',
  '/lineage',
  '/endpoints',
  '/dashboards/reports',
]);
