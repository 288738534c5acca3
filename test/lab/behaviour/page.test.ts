import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ControlServer } from '../../../src/control/server.js';
import { FakeDaemon } from '../../unit/control/fixture.js';
import { Browser } from '../kit/browser.js';
import { CTL } from '../kit/ctl.js';
import { labTest } from '../kit/lab-test.js';
import { Program } from '../kit/program.js';
import { Site } from '../kit/site.js';

/** The page of `marpctl ui` in a real browser, with a real router and with one of many hosts. */

const VISITOR = '10.1.1.5';
const MANY = 10_000;
const COUNT_FLIGHTS = `globalThis.flights = 0;
  new MutationObserver((records) => { flights += records.filter((each) => each.addedNodes.length > 0).length })
    .observe(document.getElementById('flights'), { childList: true })`;

/** The hosts in the row of an interface, by the text of the page. */
const rowOf = (router: string, lan: string) => `[...document.querySelectorAll('.router')]
  .find((card) => card.querySelector('h3').textContent === '${router}')
  ?.querySelectorAll('.lan').values().find((row) => row.querySelector('h4 span').textContent === '${lan}')`;
const chipIn = (router: string, lan: string) => `[...(${rowOf(router, lan)}?.querySelectorAll('.host') ?? [])]
  .find((chip) => chip.textContent === '${VISITOR}')`;

labTest('the page shows a move as it happens, why, many hosts, and a recorded file', async (lab) => {
  const site = await new Site(lab).start();
  const records: string[] = [];
  const following = await site.marpd.ctl.follow((record) => records.push(JSON.stringify(record)));
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.reachable(VISITOR);
  const many = new FakeDaemon();
  many.addHosts(MANY);
  const socket = { path: join(lab.directory, 'many.sock'), mode: 0o600, group: undefined };
  const server = await ControlServer.start(many, {
    socket,
    tcp: undefined,
    prometheus: undefined,
    warn: () => {},
  });
  const routers = [`r1=${site.marpd.socket}`, `r2=${socket.path}`];
  const ui = new Program(site.router, [process.execPath, CTL, 'ui', '--port', '0', ...routers]);
  site.router.ip('link set lo up');
  const browser = await Browser.start(site.router.argv());
  try {
    await browser.open((await ui.line(/^http:/)).text);
    await browser.until('document.body.dataset.picture');
    await browser.until(chipIn('r1', 'lan1'));
    assert.equal(
      await browser.evaluate(`${rowOf('r2', 'lan1')}.querySelector('h4 small').textContent`),
      '10,000',
    );
    assert.ok(await browser.evaluate(`${rowOf('r2', 'lan1')}.querySelector('canvas').height > 100`), 'cells');

    await browser.evaluate(COUNT_FLIGHTS);
    await visitor.plug('lan0', 'request');
    await browser.until(`${chipIn('r1', 'lan0')}?.className.includes('home')`);
    assert.equal(await browser.evaluate(chipIn('r1', 'lan1')), undefined, 'it is in one row only');
    assert.ok(await browser.evaluate('flights > 0'), 'the move was animated');
    assert.match(
      await browser.evaluate(`document.getElementById('timeline').textContent`),
      /settled → fresh on lan0 \(moved\)/,
    );

    await browser.evaluate(`${chipIn('r1', 'lan0')}.click()`);
    await browser.until(`document.getElementById('why').open`);
    assert.match(await browser.evaluate(`document.getElementById('reasons').textContent`), /at home on lan0/);
    await browser.evaluate(`document.getElementById('why').close()`);

    await browser.evaluate(`document.getElementById('search').value = '10.0.1.';
      document.getElementById('search').dispatchEvent(new Event('input'))`);
    await browser.until(`document.getElementById('found').textContent === '256 found'`);

    const file = join(lab.directory, 'story.json');
    writeFileSync(file, records.join('\n'));
    await browser.choose('#file', file);
    await browser.until(`document.getElementById('mode').className === 'replay'`);
    const slideTo = (part: number) =>
      browser.evaluate(`document.getElementById('slider').value = ${part} *
      document.getElementById('slider').max; document.getElementById('slider').dispatchEvent(new Event('input'))`);
    await slideTo(1);
    await browser.until(chipIn('story', 'lan0'));
    await slideTo(0.05);
    await browser.until(chipIn('story', 'lan1'));
    assert.equal(await browser.evaluate(chipIn('story', 'lan0')), undefined, 'before the move');
    await browser.evaluate(`document.getElementById('live').click()`);
    await browser.until(chipIn('r1', 'lan0'));
    assert.deepEqual(browser.errors, []);
  } catch (error) {
    throw new Error(`${String(error)}\nthe page said: ${browser.errors.join('\n')}`, { cause: error });
  } finally {
    following.stop();
    await browser.stop();
    await server.stop();
  }
});
