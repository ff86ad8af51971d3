// The pictures of the documentation: node e2e/pictures.mjs, after make ui. Made smaller by pngquant where there is one.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { start } from '../mock/server.mjs';
import { launch, open } from './browser.mjs';
import { PAGES } from './pages.mjs';

const SHOWN = ['overview', 'table', 'row', 'changes', 'sql-chart', 'dashboard'];
const directory = fileURLToPath(new URL('../../docs/images/', import.meta.url));

mkdirSync(directory, { recursive: true });
const browser = await launch();
for (const { name, path, prepare, scene } of PAGES.filter((page) => SHOWN.includes(page.name))) {
  const mock = await start({ port: 0, scene });
  const { page, close } = await open(browser, { width: 1240, height: 780 });
  await page.goto(`${mock.address}/ui${path}`);
  await page.waitForTimeout(1500);
  await prepare?.(page);
  await page.waitForTimeout(1500);
  const picture = `${directory}ui-${name}.png`;
  await page.screenshot({ path: picture });
  spawnSync('pngquant', ['--force', '--skip-if-larger', '--strip', '--ext', '.png', '64', picture]);
  await close();
  await mock.stop();
}
await browser.close();
