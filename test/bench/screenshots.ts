import { join } from 'node:path';
import { measureBurst, Noise } from './instruments.js';
import { inLab } from './in-lab.js';
import { BenchRouter } from './router.js';
import { Browser } from '../lab/kit/browser.js';
import { CTL } from '../lab/kit/ctl.js';
import type { Host } from '../lab/kit/host.js';
import type { Namespace } from '../lab/kit/namespace.js';
import { Program, pause } from '../lab/kit/program.js';
import { RoutedSite } from '../lab/routed/routed-site.js';

/**
 * Takes the pictures of docs/ui.md in laboratories: two routers with twenty hosts of which four have just moved, and one
 * with ten thousand. Needs root, and a build in dist/: `npm run docs:screenshots`. Prints the time to the first picture.
 */

const IMAGES = join(import.meta.dirname, '../../docs/images');
const SIZE = [1280, 760] as const;
const MANY = 10_000;

/** The page for these routers, in a namespace with a loopback of its own. */
async function openPage(place: Namespace, routers: readonly string[]): Promise<Browser> {
  place.ip('link set lo up');
  const ui = new Program(place, [process.execPath, CTL, 'ui', '--port', '0', ...routers]);
  const browser = await Browser.start(place.argv(), ...SIZE);
  await browser.open((await ui.line(/^http:/)).text);
  await browser.until('document.body.dataset.picture', 60_000);
  console.log(`first picture after ${await browser.evaluate('document.body.dataset.picture')} ms`);
  return browser;
}

await inLab(async (lab) => {
  const site = await new RoutedSite(lab, 'bird-bgp').start();
  const hosts: Host[] = [];
  for (let i = 0; i < 20; i++) {
    const [net, gateway] = i < 13 ? ['net1', '10.1.1.1'] : ['net2', '10.2.2.1'];
    const address = `${gateway.slice(0, -1)}${11 + i}/24`;
    const host = site.host(`h${i}`, { address, gateway });
    await host.plug(net, 'request');
    hosts.push(host);
  }
  // Three are away from home already.
  for (const [index, net] of [
    [0, 'net2'],
    [1, 'net2'],
    [15, 'net1'],
  ] as const)
    await hosts[index]?.plug(net, 'request');
  await pause(3000);
  const sockets = [...site.marpds].map(([role, marpd]) => `${role}=${marpd.socket}`);
  const browser = await openPage(site.remote, sockets);
  for (const index of [2, 3, 4]) await hosts[index]?.plug('net2', 'request');
  await pause(1500);
  const last = hosts[16]?.plug('net1', 'request');
  await browser.until(`document.querySelector('#flights .host')`);
  await pause(250);
  await browser.screenshot(join(IMAGES, 'ui-20-hosts.webp'));
  await last;
  await browser.stop();
});

await inLab(async (lab) => {
  const router = new BenchRouter(lab, 2);
  const marpd = await router.start({ timers: { keepalive: '60s' } });
  for (const [lan, count] of [
    [0, MANY * 0.7],
    [1, MANY * 0.3],
  ] as const) {
    const first = router.newcomers(count);
    await Noise.hosts(router.port(lan), first, count);
    await measureBurst(router.port(lan), first, count, 20_000, 'mute');
  }
  await pause(3000);
  const browser = await openPage(router.router, [`r1=${marpd.socket}`]);
  const first = router.newcomers(300);
  await Noise.hosts(router.port(1), first, 300);
  await measureBurst(router.port(1), first, 300, 1000, 'mute');
  await pause(500);
  await browser.screenshot(join(IMAGES, 'ui-10000-hosts.webp'));
  await browser.stop();
});
