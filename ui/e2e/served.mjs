// What tests over a real server share: MILLSTREAM_HTTP says where it is. What the browser says of faults and of the server's policy fails
// the test. PICTURES=directory keeps a picture of each page there, SHAPES=all in every theme and width.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, open } from './browser.mjs';

export const server = process.env.MILLSTREAM_HTTP;
const pictures = process.env.PICTURES;
const SHAPES =
  process.env.SHAPES === 'all'
    ? [
        { name: '-light', width: 1440, height: 900, theme: 'light' },
        { name: '-dark', width: 1440, height: 900, theme: 'dark' },
        { name: '-narrow', width: 360, height: 740, theme: 'light' },
        { name: '-narrow-dark', width: 360, height: 740, theme: 'dark' },
      ]
    : [{ name: '', width: 1240, height: 780, theme: 'light' }];
/** An unoptimised program on a busy machine. */
const WAIT_MS = 30_000;

export let browser;

before(async () => {
  assert.ok(server, 'MILLSTREAM_HTTP names a running server');
  browser = await launch();
  if (pictures) mkdirSync(pictures, { recursive: true });
});

after(() => browser?.close());

export async function at(path, act, shape = {}) {
  const { page, faults, close } = await open(browser, { still: true, ...shape });
  page.setDefaultTimeout(WAIT_MS);
  try {
    await page.goto(`${server}/ui${path}`);
    await act(page);
    assert.deepEqual(faults, []);
  } finally {
    await close();
  }
}

/** A test of a page, in one shape, and its pictures where they are asked for. */
export function pageTest(name, path, act) {
  test(name, async () => {
    const address = () => (typeof path === 'function' ? path() : path);
    await at(address(), act);
    if (!pictures) return;
    for (const shape of SHAPES) {
      const take = async (page) => {
        await act(page);
        await page.mouse.move(0, 0);
        await page.waitForTimeout(600);
        const picture = join(pictures, `ui-${name}${shape.name}.png`);
        await page.screenshot({ path: picture, fullPage: shape.width < 500 });
        spawnSync('pngquant', ['--force', '--skip-if-larger', '--strip', '--ext', '.png', '96', picture]);
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wider <= 0, `${wider} px too wide at ${shape.width}`);
      };
      await at(address(), take, shape);
    }
  });
}

export const seen = (page, selector) => page.locator(selector).first().waitFor();

/** None of the pages may be wider than a narrow screen. */
export function narrowTest(paths) {
  test('every page is readable at 360 px', async () => {
    for (const path of paths) {
      const narrow = async (page) => {
        await seen(page, 'h1');
        await page.waitForTimeout(800);
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wider <= 0, `${path}: ${wider} px too wide`);
      };
      await at(path, narrow, { width: 360, height: 740, theme: 'dark' });
    }
  });
}
