// The pages of a dbt project over a real server that built it, the last time with a model that fails: MILLSTREAM_HTTP says where.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, narrowTest, pageTest, seen } from './served.mjs';

const ORDER_VALUES = '/models/model.finance.order_values';
const LATE = '/models/model.finance.late_orders';

pageTest('models', '/models', async (page) => {
  await page.getByRole('link', { name: 'order_values', exact: true }).waitFor();
  await page.getByRole('button', { name: 'model late_orders, error' }).waitFor();
  await page.getByRole('button', { name: 'model late_by_customer, skipped' }).waitFor();
  await page.getByText(/snapshot; [1-9]\d* with trouble/).waitFor();
  const newest = page.locator('.models-runs li').first();
  assert.match(await newest.textContent(), /^build.*1 error.*skipped.*ok$/);
  assert.ok((await page.locator('.models-runs li').count()) >= 5);
  await page.getByRole('link', { name: 'analytics_marts.order_values' }).waitFor();
  assert.equal(await page.getByRole('alert').count(), 0);
});

pageTest('model-overview', ORDER_VALUES, async (page) => {
  await page.getByText('What each order is worth').first().waitFor();
  await page.getByRole('link', { name: 'stg_order_items' }).waitFor();
  await page.getByRole('link', { name: 'analytics_marts.order_values' }).waitFor();
  await page.getByRole('button', { name: 'source operations.orders' }).waitFor();
});

pageTest('model-code', `${ORDER_VALUES}?tab=code`, async (page) => {
  await page.locator('.code-jinja', { hasText: "ref('stg_orders')" }).waitFor();
  await page.getByRole('button', { name: 'Compiled' }).click();
  await page.locator('.code-name', { hasText: '"stg_orders"' }).first().waitFor();
  await page.getByRole('button', { name: 'Raw' }).click();
  await page.locator('.code-jinja').first().waitFor();
});

pageTest('model-columns', `${ORDER_VALUES}?tab=columns`, async (page) => {
  await page.getByRole('row', { name: /order_id BIGINT not_null, unique/ }).waitFor();
});

pageTest('model-column', `${ORDER_VALUES}?tab=columns`, async (page) => {
  await page.getByRole('button', { name: 'value', exact: true }).press('Enter');
  await page.waitForURL(/column=value/);
  const above = page.locator('.lineage-both section').first();
  await above.getByRole('link', { name: 'stg_order_items.quantity' }).waitFor();
  await above.getByRole('row', { name: /^2 operations\.products\.unit_price value$/ }).waitFor();
  await page.getByRole('link', { name: 'revenue_by_day.revenue' }).waitFor();
});

test('a column is followed to the source and back, each by its address', () =>
  at(`${ORDER_VALUES}?tab=columns&column=value`, async (page) => {
    await page.getByRole('link', { name: 'operations.order_items.quantity' }).click();
    await page.waitForURL(/source\.finance\.operations\.order_items\?tab=columns&column=quantity$/);
    await page.getByRole('heading', { name: 'operations.order_items', level: 1 }).waitFor();
    await page.getByText('It is the source’s own.').waitFor();
    await page.reload();
    await page.getByRole('link', { name: 'customer_values.value' }).click();
    await page.getByText('Nothing is made of it.').waitFor();
    await page.goBack();
    await page.getByRole('button', { name: 'quantity', expanded: true }).click();
    await page.locator('.lineage-both').waitFor({ state: 'detached' });
  }));

pageTest('model-run', '/models', async (page) => {
  await page.locator('.models-runs li a').first().click();
  await page.waitForURL(/models\/runs\/[0-9a-f-]{36}$/);
  const wrong = page.getByRole('region', { name: 'What went wrong' });
  await wrong
    .getByText(/delivered_on/)
    .first()
    .waitFor();
  assert.equal(await wrong.locator('li').first().getByRole('link').textContent(), 'late_orders');
  const lines = page.getByRole('table', { name: /Nodes/ }).getByRole('row');
  await page.getByRole('row', { name: /^success statuses .* began .* 6 INSERT 6$/ }).waitFor();
  assert.ok((await lines.count()) > 10);
  const left = await page
    .locator('.run-span')
    .evaluateAll((all) => all.map((one) => Number.parseFloat(one.style.left)));
  assert.deepEqual(
    left,
    [...left].sort((a, b) => a - b),
    'in the order in which they began',
  );
});

test('a run is cut to a status by its address, and leads to its tests and nodes', () =>
  at('/models', async (page) => {
    await page.locator('.models-runs li a').first().press('Enter');
    await page.getByRole('button', { name: /^skipped/ }).click();
    await page.waitForURL(/status=skipped/);
    await page.reload();
    const lines = page.locator('.run-line:not(.run-head)');
    await lines.first().waitFor();
    assert.ok((await page.locator('.run-status', { hasText: 'skipped' }).count()) === (await lines.count()));
    await page.getByRole('button', { name: /^warn/ }).click();
    await page
      .locator('.run-nodes')
      .getByRole('link', { name: /accepted_values/ })
      .click();
    await page.waitForURL(/stg_orders\?tab=tests&check=/);
    await page.locator('.check-detail').waitFor();
  }));

pageTest('model-tests', '/models/model.finance.stg_orders?tab=tests', async (page) => {
  await page.getByRole('button', { name: 'accepted_values' }).click();
  await page.getByRole('link', { name: 'Open in SQL' }).waitFor();
  await page.locator('.check-detail .code-keyword').first().waitFor();
  const strip = page.getByRole('img', { name: /^the last \d+ runs: \d+ warn$/ });
  assert.ok((await strip.locator('.strip-run.amber').count()) >= 5);
});

pageTest('model-runs', `${ORDER_VALUES}?tab=runs`, async (page) => {
  await seen(page, '.model-timings svg rect');
  assert.ok((await page.getByRole('row', { name: /^success/ }).count()) >= 5);
});

pageTest('model-failed', LATE, async (page) => {
  const alert = page.getByRole('alert');
  await alert
    .getByText(/delivered_on/)
    .first()
    .waitFor();
  await alert.getByRole('button', { name: 'Copy the error' }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /delivered_on/);
});

test('what was skipped leads to what failed', () =>
  at('/models/model.finance.late_by_customer', async (page) => {
    await page.locator('.note.amber').getByRole('link', { name: 'late_orders' }).click();
    await page.waitForURL(/late_orders$/);
  }));

test('a model leads to its rows, those to the model, and so does the lineage', () =>
  at(ORDER_VALUES, async (page) => {
    await page.getByRole('link', { name: 'Rows' }).click();
    await seen(page, '[role=gridcell]');
    await page.getByText('those that it was last built from').waitFor();
    assert.equal(await page.locator('input[type=range]').count(), 0, 'it has no past to be read');
    await page.getByRole('link', { name: 'Model', exact: true }).click();
    await page.waitForURL(/models\/model\.finance\.order_values$/);
    await page.goto(new URL('/ui/lineage?node=model:analytics_marts.order_values', page.url()).href);
    await page.getByRole('link', { name: 'Its model' }).click();
    await page.waitForURL(/models\/model\.finance\.order_values$/);
  }));

test('a test’s compiled SQL is asked', () =>
  at('/models/model.finance.stg_orders?tab=tests', async (page) => {
    await page.getByRole('button', { name: 'accepted_values' }).click();
    await page.getByRole('link', { name: 'Open in SQL' }).click();
    await seen(page, '[role=gridcell]');
  }));

test('the palette finds models, seeds and snapshots', () =>
  at('/', async (page) => {
    await seen(page, '.sparkline');
    await page.keyboard.press('Control+k');
    await page.keyboard.type('statuses');
    await page.getByRole('option', { name: /^seed ?statuses/ }).click();
    await page.waitForURL(/models\/seed\.finance\.statuses$/);
    await page.getByRole('heading', { name: 'statuses', level: 1 }).waitFor();
  }));

narrowTest([
  '/models',
  ORDER_VALUES,
  LATE,
  ...['code', 'columns', 'columns&column=value', 'tests', 'runs'].map((tab) => `${ORDER_VALUES}?tab=${tab}`),
]);
