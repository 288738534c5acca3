import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Host } from '../kit/host.js';
import { CTL } from '../kit/ctl.js';
import { Lab } from '../kit/namespace.js';
import { Capture } from '../kit/pcap.js';
import { Program, waitFor } from '../kit/program.js';
import { REAL_SETTLE, REMOTE_IP, Site, routerMac } from '../kit/site.js';
import { Timeline, bold, dim, green, red } from './timeline.js';

/**
 * The built-in laboratory: one router, three LANs, a remote host, and a host that takes its address along. Every
 * step waits until what it promises has really happened, so that the demonstration is a test as well.
 */

const LANS = { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' } as const;

const PICTURE = `
                        ┌───────────────────┐
  home    10.1.1.0/24 ──┤ lan0   router     │
          10.2.2.0/24 ──┤ lan1   with       ├── up0 ─── remote host ${REMOTE_IP}
          10.3.3.0/24 ──┤ lan2   marpd      │
                        └───────────────────┘
  the host: 10.1.1.5/24, gateway 10.1.1.1, never reconfigured
`;

const PATIENCE_MS = 10_000;

class Demo {
  readonly site: Site;
  readonly host: Host;
  readonly timeline: Timeline;

  constructor(readonly lab: Lab) {
    const config = {
      router: REAL_SETTLE,
      timers: { keepalive: '2s' },
      subnet: Object.values(LANS).map((address) => ({
        prefix: address.replace('.1/24', '.0/24'),
        gateway: address.replace('/24', ''),
      })),
    };
    this.site = new Site(lab, { lans: LANS, config });
    this.host = this.site.host('host');
    const { ip, mac, gateway } = this.host;
    const routerMacs = new Set(Object.keys(LANS).map(routerMac));
    this.timeline = new Timeline({ hostIp: ip, hostMac: mac, gateway, routerMacs });
  }

  async prepare(): Promise<void> {
    const { site, timeline } = this;
    for (const lan of site.lans)
      timeline.watchFrames(await Capture.start(site.router, lan, 'arp or rarp'), lan);
    timeline.watchFrames(await Capture.start(site.router, 'up0', 'icmp'), 'up0');
    await timeline.watchRoutes(site.router);
    await site.start();
    await timeline.watchDaemon(site.marpd);
    new Program(site.remote, ['ping', '-n', '-q', '-i', '0.01', '-W', '1', this.host.ip], { quiet: true });
    timeline.start();
  }

  async play(): Promise<void> {
    const { site, host, timeline } = this;
    const { marpd } = site;

    timeline.step(
      '1  It boots in the wrong subnet',
      '   The host is plugged into lan1, where the router has only 10.2.2.1, and wants to talk to the remote host.',
    );
    await this.plug('lan1', async () => {
      new Program(host.namespace, ['ping', '-n', '-q', '-c', '3', '-i', '0.2', REMOTE_IP], { quiet: true });
    });
    await this.reached('lan1');
    await marpd.state(host.ip, 'settled', PATIENCE_MS);
    await timeline.finish();

    timeline.step(
      '2  It moves to another LAN',
      '   Its cable goes from lan1 to lan2; one gratuitous ARP, as most systems send when their link comes up.',
    );
    await this.plug('lan2', async () => (await host.frames()).gratuitous(host.ip, host.mac));
    await this.reached('lan2');
    await timeline.finish();

    timeline.step(
      '3  It moves back like a live-migrated guest',
      '   No carrier drop: the host still believes in the MAC of the gateway on lan2. The proof repairs that.',
    );
    await this.plug('lan1', async () => (await host.frames()).gratuitous(host.ip, host.mac), false);
    await this.reached('lan1');
    await timeline.finish();

    timeline.step(
      '4  It moves home',
      '   On lan0 its own subnet serves it: the host route must go, and nothing else may break.',
    );
    await this.plug('lan0', async () => (await host.frames()).gratuitous(host.ip, host.mac));
    await marpd.routed(host.ip, undefined, PATIENCE_MS);
    await site.reachable(host.ip, PATIENCE_MS);
    await marpd.state(host.ip, 'home', PATIENCE_MS);
    await timeline.finish();

    timeline.step(
      '5  It goes out once more and is switched off there',
      '   The port stays up and nobody says goodbye: the keepalive (2 s in this lab) finds out.',
    );
    await this.plug('lan2', async () => (await host.frames()).gratuitous(host.ip, host.mac));
    await this.reached('lan2');
    await marpd.state(host.ip, 'settled', PATIENCE_MS);
    host.unplug();
    timeline.act('the host is switched off');
    await marpd.routed(host.ip, undefined, PATIENCE_MS);
    await timeline.finish();
  }

  /** Something to look at: the host is back, visiting lan1. */
  async stay(): Promise<void> {
    const { site, host, timeline } = this;
    timeline.step(
      '6  It is switched on again, on lan1',
      '   It stays there, so that you can look for yourself.',
    );
    await this.plug('lan1', async () => (await host.frames()).gratuitous(host.ip, host.mac));
    await this.reached('lan1');
    await site.marpd.state(host.ip, 'settled', PATIENCE_MS);
    await timeline.finish();
  }

  async plug(lan: string, speak: () => Promise<void>, carrierDrop = true): Promise<void> {
    await this.host.frames();
    await this.host.connect(lan, carrierDrop);
    this.timeline.act(`the cable is plugged into ${lan}${carrierDrop ? '' : ', the carrier never drops'}`);
    await speak();
  }

  async reached(lan: string): Promise<void> {
    await this.site.marpd.routed(this.host.ip, lan, PATIENCE_MS);
    await this.site.reachable(this.host.ip, PATIENCE_MS);
  }

  commands(): string {
    const { site, host } = this;
    const sudo = process.env.SUDO_USER === undefined ? '' : 'sudo ';
    const router = site.router.name;
    const ctl = `${sudo}node ${CTL} --socket ${site.marpd.socket}`;
    const cable = `${sudo}ip -n ${site.network.namespace.name} link set ${host.cable.port}`;
    const rows: readonly (readonly [string, string])[] = [
      ['the frames', `${sudo}ip netns exec ${router} tcpdump -n -e -i lan1 arp`],
      ['the hosts', `${ctl} hosts`],
      ['why it was learned', `${ctl} why ${host.ip}`],
      ['every transition', `${ctl} monitor`],
      ['record it', `${ctl} capture -w story.pcapng`],
      ['explain the record', `${sudo}node ${CTL} explain story.pcapng`],
      ['is all well', `${sudo}ip netns exec ${router} node ${CTL} --socket ${site.marpd.socket} doctor`],
      ['the host routes', `${sudo}ip -n ${router} route show proto 44`],
      ['its neighbour entry', `${sudo}ip -n ${router} neigh show ${host.ip}`],
      ['ping from the remote', `${sudo}ip netns exec ${site.remote.name} ping ${host.ip}`],
      ['move it yourself', `${cable} master lan2`],
      // A move without a loss of carrier: until it asks, it goes on sending to the gateway's MAC of the other LAN.
      ['have it ask again', `${sudo}ip -n ${host.namespace.name} neigh flush dev eth0`],
      ['and make it speak', `${sudo}ip netns exec ${host.namespace.name} ping -c 1 ${REMOTE_IP}`],
      ['switch it off', `${cable} down`],
    ];
    const width = Math.max(...rows.map(([label]) => label.length));
    return rows.map(([label, command]) => `  ${dim(label.padEnd(width))}  ${command}`).join('\n');
  }
}

/**
 * Runs the demonstration; resolves with the exit status. Without `once` it stays up until a signal ends the process,
 * and the lab with it.
 */
export async function demo(args: readonly string[]): Promise<number> {
  const options = { once: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
  const { values } = parseArgs({ args: [...args], options });
  if (values.help === true) {
    console.log('usage: single-router [--once]\n\n  --once   end after the last step instead of staying up');
    return 0;
  }
  const lab = new Lab();
  process.once('SIGINT', () => console.log(dim('\nInterrupted: the laboratory is being removed.')));
  process.stdout.on('error', () => process.exit(0)); // `| head` has seen enough
  try {
    console.log(`${bold('marpd: a host keeps its address wherever it is plugged in')}\n${PICTURE}`);
    const demo = new Demo(lab);
    await demo.prepare();
    await demo.play();
    if (values.once === true) {
      demo.timeline.stop();
      console.log(`\n${green('All steps came true.')}`);
      return 0;
    }
    await demo.stay();
    console.log(`\n${bold('Look for yourself, from another terminal:')}\n\n${demo.commands()}\n`);
    console.log('The daemon of the lab has its own socket: marpctl needs --socket, or MARPD_SOCKET.\n');
    console.log(
      `${bold('Ctrl-C')} ends it and leaves nothing behind. What happens until then is told here:\n`,
    );
    await waitFor(() => demo.site.marpd.program?.running === false, 2 ** 31 - 1, 'the end', 200);
    throw new Error('marpd ended although nobody asked it to');
  } catch (error) {
    console.error(
      `\n${red('The demonstration failed:')} ${error instanceof Error ? error.message : String(error)}\n`,
    );
    console.error(lab.failureReport());
    return 1;
  } finally {
    lab.remove();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(await demo(process.argv.slice(2)));
