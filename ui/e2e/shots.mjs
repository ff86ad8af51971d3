// Pictures of every page, to be looked at: node e2e/shots.mjs DIRECTORY [page …]

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { start } from '../mock/server.mjs';
import { launch, open } from './browser.mjs';
import { PAGES } from './pages.mjs';

const [directory = 'shots', ...wanted] = process.argv.slice(2);
// A directory's name may begin so, and nobody means one.
if (directory.startsWith('-')) {
  console.error('usage: node e2e/shots.mjs [DIRECTORY [PAGE …]]');
  process.exit(2);
}
mkdirSync(directory, { recursive: true });
const browser = await launch();
const shapes = [
  { name: 'wide-light', width: 1440, height: 900, theme: 'light' },
  { name: 'wide-dark', width: 1440, height: 900, theme: 'dark' },
  { name: 'narrow-light', width: 360, height: 740, theme: 'light' },
  { name: 'narrow-dark', width: 360, height: 740, theme: 'dark' },
];
for (const { name, path, prepare, scene, lineage, models } of PAGES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const mock = await start({ port: 0, scene, lineage, models });
  for (const shape of shapes) {
    if (process.env.SHAPES && !process.env.SHAPES.split(',').includes(shape.name)) continue;
    const { page, faults, close } = await open(browser, shape);
    await page.goto(`${mock.address}/ui${path}`);
    await page.waitForTimeout(900);
    await prepare?.(page);
    await page.waitForTimeout(400);
    const full = shape.width < 500;
    await page.screenshot({ path: join(directory, `${name}-${shape.name}.png`), fullPage: full });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (overflow > 0) console.log(`${name} ${shape.name}: ${overflow} px too wide`);
    for (const fault of faults) console.log(`${name} ${shape.name}: ${fault}`);
    await close();
  }
  await mock.stop();
}
await browser.close();
