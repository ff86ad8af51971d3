// What a person does on each page, in a real browser over the mock. With SHOTS=1 pictures for the documentation are kept.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from '../mock/server.mjs';
import { launch, open } from './browser.mjs';
import { PAGES } from './pages.mjs';

let browser;
let mock;

before(async () => {
  browser = await launch();
  mock = await start({ port: 0 });
});

after(async () => {
  await browser?.close();
  await mock?.stop();
});

async function at(path, act, { server = mock, ...shape } = {}) {
  const { page, faults, close } = await open(browser, { still: true, ...shape });
  try {
    await page.goto(`${server.address}/ui${path}`);
    await act(page, server);
    assert.deepEqual(faults, []);
  } finally {
    await close();
  }
}

for (const { name, path, scene, lineage, models, prepare } of PAGES) {
  test(`${name} has no fault and is not wider than a narrow screen`, async () => {
    const server = await start({ port: 0, scene, lineage, models });
    try {
      for (const [width, theme] of [
        [1440, 'light'],
        [360, 'dark'],
      ]) {
        const act = async (page) => {
          await page.locator('h1').first().waitFor();
          await page.waitForTimeout(500);
          if (width > 1000) await prepare?.(page);
          const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
          assert.ok(wider <= 0, `${wider} px too wide at ${width}`);
        };
        await at(path, act, { server, width, theme });
      }
    } finally {
      await server.stop();
    }
  });
}

test('the first load is under 300 kB compressed', async () => {
  const { gzipSync } = await import('node:zlib');
  let bytes = 0;
  const { page, close } = await open(browser);
  page.on('response', async (response) => {
    if (!response.url().includes('/ui')) return;
    const body = await response.body();
    bytes += response.url().endsWith('.woff2') ? body.length : gzipSync(body).length;
  });
  await page.goto(`${mock.address}/ui/`);
  await page.locator('.sparkline').first().waitFor();
  await page.waitForTimeout(300);
  await close();
  assert.ok(bytes > 50_000 && bytes < 300_000, `${bytes} bytes`);
});

test('the grid is used by keys alone, and a row opens with its history', () =>
  at('/tables/analytics/products?order=product_id.desc', async (page) => {
    await page.locator('[role=gridcell]').first().waitFor();
    await page.locator('.grid').focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('End');
    await page.keyboard.press('Space');
    await page.locator('.grid-detail').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Home');
    await page.keyboard.press('Control+End');
    await page.keyboard.press('Home');
    await page.locator('.grid-cell.active', { hasText: /^1$/ }).waitFor();
    const last = await page.locator('.grid-cell.active').getAttribute('id');
    assert.match(last, /^cell-239-0$/);
    await page.keyboard.press('Enter');
    await page.locator('.timeline').waitFor();
    assert.match(page.url(), /row\?key\.product_id=1$/);
  }));

test('sorting and filters stand in the address and come back from it', () =>
  at('/tables/analytics/orders', async (page) => {
    await page.locator('[role=gridcell]').first().waitFor();
    await page.getByRole('button', { name: 'status' }).click();
    await page.waitForURL(/order=status\.asc/);
    await page.keyboard.press('/');
    await page.getByLabel('Column').selectOption('status');
    await page.getByLabel('Comparison').selectOption('eq');
    await page.getByLabel('Value').fill('OPEN');
    await page.keyboard.press('Enter');
    await page.waitForURL(/filter=status\.eq\.OPEN/);
    await page.reload();
    await page.locator('.filter').waitFor();
    await page.locator('#cell-0-4', { hasText: 'OPEN' }).waitFor();
  }));

test('the as-of slider reads the past again, and the address keeps it', () =>
  at('/tables/analytics/orders', async (page) => {
    const total = async () => Number((await page.locator('.grid-foot span').first().textContent()).replace(/\D/g, ''));
    await page.locator('[role=gridcell]').first().waitFor();
    const now = await total();
    await page.locator('input[type=range]').focus();
    await page.keyboard.press('Home');
    for (let step = 0; step < 3; step += 1) await page.keyboard.press('PageUp');
    await page.waitForURL(/as_of=/);
    await page.waitForFunction(
      (now) => Number(document.querySelector('.grid-foot span')?.textContent.replace(/\D/g, '')) < now,
      now,
    );
    await page.reload();
    await page.locator('.as-of.past').waitFor();
    await page.getByRole('button', { name: 'Back to now' }).click();
    await page.waitForURL(/orders$/);
  }));

test('a moment before the history begins is an error with its hint', () =>
  at('/tables/analytics/orders?as_of=2020-01-01T00:00:00Z', async (page) => {
    await page.getByRole('alert').getByText('MS5304').waitFor();
    await page.getByRole('button', { name: 'Copy the error' }).click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^error\[MS5304\]: /);
  }));

test('what else a transaction changed is one click away', () =>
  at('/tables/analytics/orders/row?key.order_id=8010', async (page) => {
    await page.getByRole('button', { name: 'What else it changed' }).last().click();
    await page.locator('.transaction').getByText('analytics.orders').waitFor();
  }));

test('SQL runs by keys, completes names, and is kept under a name', () =>
  at('/sql', async (page) => {
    const editor = page.getByLabel('SQL');
    await editor.click();
    await page.keyboard.type('SELECT * FROM analytics.custo');
    // What is chosen is chosen by all that was typed; the list takes no key in its first moments.
    const chosen = page.locator('.cm-tooltip-autocomplete [aria-selected]', { hasText: /^customers/ });
    await chosen.locator('.cm-completionMatchedText').getByText('custo', { exact: true }).waitFor();
    await page.waitForTimeout(300);
    await page.keyboard.press('Enter');
    await page.locator('.cm-content').getByText('analytics.customers').waitFor();
    await page.keyboard.type(' LIMIT 5');
    await page.keyboard.press('Control+Enter');
    await page.getByText('5 rows').waitFor();
    assert.match(page.url(), /q=SELECT/);
    await page.getByLabel('Name of the query').fill('first customers');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.keyboard.press('Control+k');
    await page.keyboard.type('first cust');
    await page.getByRole('option', { name: /first customers/ }).waitFor();
  }));

test('a key is asked for once, and again when the session has ended', async () => {
  const server = await start({ port: 0, scene: 'locked' });
  try {
    const act = async (page) => {
      await page.getByLabel('Key').fill('wrong');
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByRole('alert').getByText('MS7113').waitFor();
      await page.getByLabel('Key').fill('ms_key');
      await page.keyboard.press('Enter');
      await page.locator('.sparkline').first().waitFor();
      server.project.locked = true;
      await page.getByRole('link', { name: 'Endpoints', exact: true }).click();
      await page.getByLabel('Key').waitFor();
      await page.getByLabel('Key').fill('ms_key');
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('Key').waitFor();
    };
    await at('/', act, { server });
  } finally {
    await server.stop();
  }
});

test('a query of the project is a click away', () =>
  at('/sql', async (page) => {
    await page.getByRole('button', { name: 'Orders by status' }).click();
    await page.locator('[role=gridcell]').first().waitFor();
    assert.match(page.url(), /q=SELECT/);
  }));

test('a table is read again only by its name, and what differed is said', () =>
  at('/tables', async (page) => {
    await page.getByRole('button', { name: 'Resync operations.orders' }).click();
    const button = page.getByRole('button', { name: 'Resync', exact: true });
    await page.getByLabel('Name of the table').fill('orders');
    assert.ok(await button.isDisabled());
    await page.getByLabel('Name of the table').fill('operations.orders');
    await button.click();
    await page.getByText(/2 rows updated/).waitFor();
  }));

test('changes come live, are paused, and show the whole event', () =>
  at('/changes', async (page) => {
    await page.locator('.tail-row').first().waitFor();
    await page.getByText(/^Live; [1-9]/).waitFor();
    await page.keyboard.press('p');
    await page.getByText(/[1-9]\d* held while paused/).waitFor();
    await page.locator('.tail').focus();
    await page.keyboard.press('ArrowDown');
    await page.locator('.event-detail').waitFor();
    await page.getByText('The envelope, as programs get it').click();
    const text = await page.locator('.event-whole pre').textContent();
    assert.match(text, /"ts_ns": \d{19}/);
    await page.getByRole('button', { name: 'delete' }).click();
    await page.waitForURL(/op=d/);
  }));

test('an endpoint is asked with its parameters', () =>
  at('/endpoints?path=/orders/customers', async (page) => {
    await page.locator('[role=gridcell]').first().waitFor();
    await page.getByLabel(/^limit/).fill('0');
    await page.getByText('is below 1').waitFor();
    await page.getByLabel(/^limit/).fill('2');
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.getByText('2 rows').waitFor();
    await page.waitForURL(/p\.limit=2/);
  }));

test('a live endpoint is followed without asking again', () =>
  at('/endpoints?path=/orders/top', async (page) => {
    await page.locator('[role=gridcell]').first().waitFor();
    let asked = 0;
    page.on('request', (request) => {
      if (new URL(request.url()).pathname === '/orders/top') asked += 1;
    });
    await page.getByRole('button', { name: 'Follow live' }).click();
    await page.getByRole('button', { name: /Live, [2-9] updates/ }).waitFor();
    assert.equal(asked, 1);
  }));

test('the fonts are the embedded ones', () =>
  at('/', async (page) => {
    await page.locator('.sparkline').first().waitFor();
    const loaded = await page.evaluate(async () => {
      await document.fonts.ready;
      return [...document.fonts]
        .filter(({ status }) => status === 'loaded')
        .map(({ family }) => family.replaceAll('"', ''));
    });
    assert.ok(loaded.includes('Source Sans 3 Variable') && loaded.includes('Source Code Pro Variable'), loaded.join());
  }));

test('a node of a lineage of a thousand is found and cut to what is connected', async () => {
  const server = await start({ port: 0, lineage: 1000 });
  try {
    const act = async (page) => {
      await page.locator('.map-node').first().waitFor();
      await page.evaluate(() => {
        window.drawnEmpty = 0;
        new MutationObserver(() => {
          if (document.querySelector('.map-node') === null) window.drawnEmpty += 1;
        }).observe(document.body, { subtree: true, childList: true });
      });
      await page.keyboard.press('/');
      await page.keyboard.type('model_0777');
      await page.keyboard.press('Enter');
      await page.locator('.lineage-detail').waitFor();
      const drawn = await page.locator('.map-node').count();
      assert.ok(drawn > 1 && drawn < 200, `${drawn} nodes`);
      assert.equal(await page.evaluate(() => window.drawnEmpty), 0);
    };
    await at('/lineage', act, { server });
  } finally {
    await server.stop();
  }
});

test('a lost connection is said with its time, and found again', async () => {
  const server = await start({ port: 0 });
  const port = Number(new URL(server.address).port);
  const { page, close } = await open(browser, { still: true });
  await page.goto(`${server.address}/ui/`);
  await page.locator('.sparkline').first().waitFor();
  await server.stop();
  await page.getByText(/No connection to Millstream since \d\d:\d\d:\d\d/).waitFor({ timeout: 9000 });
  const again = await start({ port });
  await page.getByText(/No connection/).waitFor({ state: 'detached', timeout: 9000 });
  await close();
  await again.stop();
});

test('the palette goes anywhere and the help says the keys', () =>
  at('/', async (page) => {
    await page.locator('h1').waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+k');
    await page.keyboard.type('lineage');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/ui\/lineage$/);
  }));

test('a role sees its tables, endpoints and dashboards, and is not asked into what is not for it', async () => {
  const server = await start({ port: 0, scene: 'role' });
  const asked = [];
  try {
    await at(
      '/',
      async (page) => {
        page.on('request', (request) => asked.push(new URL(request.url()).pathname));
        await page.waitForURL(/\/ui\/tables$/);
        const links = await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents();
        assert.deepEqual(links, ['Tables', 'Endpoints', 'Dashboards']);
        await page.getByRole('link', { name: 'analytics.orders' }).click();
        await page.locator('[role=gridcell]').first().waitFor();
        assert.equal(await page.getByRole('link', { name: 'Ask in SQL' }).count(), 0);
        await page.locator('.grid').focus();
        await page.keyboard.press('Enter');
        await page.locator('.timeline').waitFor();
        assert.equal(await page.getByRole('button', { name: 'What else it changed' }).count(), 0);
        await page.goto(`${server.address}/ui/tables/analytics/products`);
        await page.locator('[role=gridcell]').first().waitFor();
        // A past that the role may not read.
        await page.locator('input[type=range]').waitFor({ state: 'detached' });
        await page.goto(`${server.address}/ui/changes`);
        await page.getByRole('heading', { name: 'Not for this key' }).waitFor();
        await page.keyboard.press('Control+k');
        await page.locator('.palette-kind').first().waitFor();
        const kinds = await page.locator('.palette-kind').allTextContents();
        assert.ok(kinds.includes('dashboard') && !kinds.includes('query'), kinds.join());
        await page.keyboard.press('Escape');
        await page.goto(`${server.address}/ui/dashboards/orders`);
        await page.locator('.chart-number').first().waitFor();
        assert.equal(await page.getByRole('link', { name: 'SQL', exact: true }).count(), 0);
        assert.ok((await page.getByRole('link', { name: 'Endpoint', exact: true }).count()) > 0);
        const again = page.waitForRequest((request) => request.url().endsWith('/api/dashboards/orders/0'));
        await again;
      },
      { server },
    );
    const own = /^\/(ui|orders)|^\/api\/(me|tables|rows|row|endpoints|dashboards)/;
    assert.deepEqual(
      asked.filter((path) => !own.test(path)),
      [],
    );
  } finally {
    await server.stop();
  }
});

test('how a schema changed is told, and leads to the rows as they were', () =>
  at('/tables', async (page) => {
    const row = page.getByRole('row', { name: /operations\.products/ });
    await row.getByTitle('3 changes of the schema').click();
    await page.waitForURL(/tab=schema/);
    const told = page.locator('.schema-changes > li');
    await told.nth(2).waitFor();
    assert.equal(await told.count(), 3);
    assert.match(
      await told.first().textContent(),
      /retyped.*unit_price.*numeric\(10,2\).*numeric\(12,2\).*retyped.*barcode/,
    );
    await told.nth(1).getByRole('link').click();
    await page.waitForURL(/as_of=16%2FB3A00D40|as_of=16\/B3A00D40/);
    await page.getByRole('tab', { name: 'Rows', selected: true }).waitFor();
  }));

/** The mock in a scene of its own, for one test. */
async function inScene(options, path, act) {
  const server = await start({ port: 0, ...options });
  try {
    await at(path, act, { server });
  } finally {
    await server.stop();
  }
}

test('models are filtered and sorted by the address, and one is opened from the list by keys', () =>
  at('/models', async (page) => {
    const lines = page.locator('.nodes tbody tr');
    await lines.first().waitFor();
    const all = await lines.count();
    await page.getByRole('button', { name: 'took' }).click();
    await page.getByRole('button', { name: 'took' }).click();
    await page.waitForURL(/sort=seconds\.desc/);
    await page.getByLabel('Any materialization').selectOption('view');
    await page.waitForURL(/materialized=view/);
    await page.getByLabel('Any tag').selectOption('nightly');
    await page.keyboard.press('/');
    await page.keyboard.type('stg_o');
    await page.waitForURL(/find=stg_o/);
    await page.reload();
    await page.getByText('2 nodes').waitFor();
    assert.ok(all > 2);
    assert.deepEqual(await lines.locator('td:first-child').allTextContents(), ['stg_orders', 'stg_order_items']);
    await page.getByLabel('Find a node').press('Enter');
    await page.waitForURL(/models\/model\.finance\.stg_orders$/);
    await page.goBack();
    await page.getByRole('button', { name: 'Remove the filters' }).click();
    await page.getByText(`${all} nodes`).waitFor();
  }));

test('a node of the graph opens, and says what it reads and what reads it', () =>
  at('/models', async (page) => {
    const chosen = page.getByRole('button', { name: 'model stg_orders' });
    await chosen.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'stg_orders', level: 1 }).waitFor();
    await page.getByRole('link', { name: 'operations.orders' }).waitFor();
    await page.getByRole('link', { name: 'top_customers_with_pending_orders' }).click();
    await page.waitForURL(/top_customers_with_pending_orders$/);
    await page.getByRole('link', { name: 'Rows' }).click();
    await page.locator('[role=gridcell]').first().waitFor();
    await page.getByRole('link', { name: 'Model', exact: true }).click();
    await page.getByRole('heading', { name: 'top_customers_with_pending_orders', level: 1 }).waitFor();
  }));

test('code is shown raw and compiled, copied, and opened in SQL', () =>
  at('/models/model.finance.stg_orders?tab=code', async (page) => {
    await page.locator('.code-jinja', { hasText: "{{ source('operations', 'orders') }}" }).waitFor();
    await page.locator('.code-keyword', { hasText: 'select' }).waitFor();
    await page.getByRole('button', { name: 'Compiled' }).click();
    await page.waitForURL(/code=compiled/);
    await page.locator('.code-name', { hasText: '"orders"' }).waitFor();
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.getByText('Copied').waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(copied, /^select\n {4}order_id,/);
    await page.getByRole('link', { name: 'Open in SQL' }).click();
    await page.waitForURL(/\/ui\/sql\?q=select/);
  }));

test('a failed model says all of it, what was skipped says why, and a test has its past', () =>
  inScene({ scene: 'failed' }, '/models?status=trouble', async (page) => {
    await page.getByText('5 with trouble').waitFor();
    const newest = page.locator('.models-runs li').first();
    assert.match(await newest.textContent(), /1 error/);
    assert.match(await newest.textContent(), /5 skipped/);
    await page.getByRole('button', { name: 'model stock_report, skipped' }).waitFor();
    await page.getByRole('link', { name: 'stock_report', exact: true }).click();
    await page.getByText('It was skipped in the last run.').waitFor();
    await page.locator('.note.amber').getByRole('link', { name: 'open_pending_items_by_product' }).click();
    await page.getByRole('alert').getByText('candidate bindings').waitFor();
    await page.getByRole('button', { name: 'Copy the error' }).click();
    await page.getByText('Copied').waitFor();
    assert.match(
      await page.evaluate(() => navigator.clipboard.readText()),
      /is_active" not found[\s\S]*schema|bindings/,
    );
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Models' }).click();
    await page.getByRole('link', { name: 'stg_orders', exact: true }).click();
    await page.getByRole('tab', { name: /^Columns/ }).click();
    await page.getByRole('link', { name: 'accepted_values' }).click();
    await page.getByRole('img', { name: 'the last 30 runs: 3 warn, 27 pass' }).waitFor();
    await page.getByRole('button', { name: 'accepted_values' }).press('Enter');
    await page.getByText('Got 3 results, configured to warn if != 0').waitFor();
    await page.reload();
    await page.getByRole('link', { name: 'Open in SQL' }).waitFor();
    await page.getByRole('tab', { name: 'Runs' }).click();
    await page.locator('.model-timings svg').waitFor();
  }));

test('of a run with thousands of nodes those in sight are drawn, and one status is shown alone', () =>
  inScene({ models: 1000 }, '/models/runs/run-0', async (page) => {
    const lines = page.locator('.run-line:not(.run-head)');
    await lines.first().waitFor();
    assert.ok((await lines.count()) < 60);
    assert.equal(await page.getByRole('table').getAttribute('aria-rowcount'), '2027');
    await page.locator('.run-around').evaluate((element) => element.scrollTo(0, element.scrollHeight));
    await page.locator('.run-line[aria-rowindex="2027"]').waitFor();
    await page.getByRole('button', { name: /^pass/ }).press('Enter');
    await page.waitForURL(/status=pass/);
    await lines.first().waitFor();
    assert.equal(await page.locator('.run-status', { hasText: 'success' }).count(), 0);
  }));

test('a run that is not kept, and a column that cannot be followed, say so', () =>
  at('/models/runs/none', async (page) => {
    await page.getByText('There is no such run.').waitFor();
    await page.getByRole('link', { name: 'The last runs' }).click();
    await page.getByRole('link', { name: 'top_customers_with_pending_orders' }).first().click();
    await page.getByRole('tab', { name: /^Columns/ }).click();
    await page.getByRole('button', { name: 'customer_id' }).press('Enter');
    await page.getByText('Where it comes from is not known.').waitFor();
    await page.getByText(/PIVOT/).waitFor();
    await page.getByRole('link', { name: 'Models' }).last().click();
    await page.goBack();
    await page.getByRole('button', { name: 'customer_id', expanded: true }).waitFor();
  }));

test('the columns of a model are read on a narrow screen without moving it sideways', () =>
  at(
    '/models/model.finance.stg_orders?tab=columns',
    async (page) => {
      const names = page.locator('.columns .saved-open');
      await names.first().waitFor();
      const wider = () =>
        page.locator('.columns').evaluate((table) => table.scrollWidth - table.closest('.list-around').clientWidth);
      assert.ok((await wider()) <= 0, `${await wider()} px too wide`);
      const row = page.locator('.columns tbody tr').first();
      for (const part of ['.column-name', '.column-type']) {
        const box = await row.locator(part).boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= 360, `${part} is out of sight`);
      }
      await names.first().press('Enter');
      await page.locator('.check-detail').waitFor();
      await page.waitForTimeout(500);
      assert.ok((await wider()) <= 0, `${await wider()} px too wide with lineage`);
    },
    { width: 360 },
  ));

test('of a thousand models those in sight are drawn, and one is found', () =>
  inScene({ models: 1000 }, '/models', async (page) => {
    const lines = page.locator('.nodes tbody tr[aria-rowindex]');
    await lines.first().waitFor();
    assert.ok((await lines.count()) < 60);
    await page.locator('.nodes-around').evaluate((element) => element.scrollTo(0, element.scrollHeight));
    await page.getByRole('link', { name: 'top_delivery_dates_open_orders', exact: true }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('model_0777');
    await page.getByText('1 node', { exact: true }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll('.map-node').length < 10);
    await page.keyboard.press('Control+k');
    await page.keyboard.type('int_model_0702');
    await page.getByRole('option', { name: /int_model_0702/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/models\/model\.finance\.int_model_0702$/);
  }));
