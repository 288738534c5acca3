import assert from 'node:assert/strict';
import { type Host, macFor } from '../kit/host.js';
import type { Lab } from '../kit/namespace.js';
import { Capture } from '../kit/pcap.js';
import { Program, pause } from '../kit/program.js';
import { REAL_SETTLE, REMOTE_IP, Site, routerMac } from '../kit/site.js';
import { SOAK, labTest } from '../kit/lab-test.js';

const VISITOR = '10.1.1.5';
const MOVES = SOAK ? 40 : 8;
/**
 * The first echo answered after a move between two LANs of the box, median below 20 ms. Eight moves
 * take a second, and a machine that is shared may be busy with others for as long; `npm run bench -- move` measures.
 */
const MEDIAN_MS = SOAK ? 20 : 100;
/** A lost first question (the second comes after 50 ms) slows all moves, a busy machine some. */
const FASTEST_QUARTER_MS = 50;
const LANS = { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' };

async function movingSite(lab: Lab): Promise<{ site: Site; host: Host }> {
  const site = await new Site(lab, { lans: LANS, config: { router: REAL_SETTLE } }).start();
  return { site, host: site.host('mover') };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

// From the first frame on the new LAN to the first echo that the host answers there.
async function timedMove(host: Host, capture: Capture, lan: string, carrierDrop: boolean): Promise<number> {
  const since = await host.plug(lan, 'request', carrierDrop);
  const word = await capture.arp(
    { opcode: 'request', senderIp: host.ip, targetIp: host.ip },
    3000,
    since - 1,
  );
  const echo = await capture.echo({ kind: 'reply', fromIp: host.ip }, 5000, word.at);
  return echo.at - word.at;
}

for (const carrierDrop of [true, false]) {
  const how = carrierDrop
    ? 'with carrier drop'
    : 'without carrier drop and with the stale MAC of its old gateway';
  labTest(
    `a host moves between two LANs in both directions, ${how}: median below ${MEDIAN_MS} ms`,
    async (lab) => {
      const { site, host } = await movingSite(lab);
      const at = await Capture.start(host.namespace, 'eth0');
      new Program(site.remote, ['ping', '-n', '-q', '-i', '0.002', VISITOR], { quiet: true });
      await host.plug('lan1', 'request');
      await site.reachable(VISITOR);
      assert.ok(host.pings(REMOTE_IP), 'its gateway entry is in use');
      const times: number[] = [];
      for (let i = 0; i < MOVES; i++) {
        const lan = i % 2 === 0 ? 'lan2' : 'lan1';
        times.push(await timedMove(host, at, lan, carrierDrop));
        // Repaired by the proof (RFC 826 merge), so the host's own words go the right way at once, too.
        assert.ok(host.pings(REMOTE_IP), `the host reaches the remote host from ${lan}`);
        assert.equal(host.neighbour('10.1.1.1')?.mac, routerMac(lan));
        await site.marpd.routed(VISITOR, lan);
        const left = lan === 'lan1' ? 'lan2' : 'lan1';
        const leftovers = site.marpd.neighbours(VISITOR).filter((entry) => entry.dev === left);
        assert.deepEqual(leftovers, [], 'no neighbour entry is left on the interface that it left');
      }
      const figures = `median ${median(times).toFixed(1)} ms of ${times.map((t) => t.toFixed(1))}`;
      console.log(`# ${figures}`);
      assert.ok(median(times) < MEDIAN_MS, figures);
      const quarter = [...times].sort((a, b) => a - b)[Math.floor(times.length / 4)] as number;
      assert.ok(quarter < FASTEST_QUARTER_MS, figures);
      assert.deepEqual(await site.marpd.disagreements(), []);
    },
    SOAK ? 300_000 : 60_000,
  );
}

labTest('a move asks the old place in parallel (design.md 3.2) and waits for no timeout', async (lab) => {
  const { site, host } = await movingSite(lab);
  await host.plug('lan1', 'request');
  await site.marpd.state(VISITOR, 'settled');
  const old = await Capture.start(site.router, 'lan1');
  const since = await host.plug('lan2', 'request');
  await site.marpd.routed(VISITOR, 'lan2');
  const question = await old.arp(
    { opcode: 'request', targetIp: VISITOR, source: routerMac('lan1') },
    1000,
    since - 1,
  );
  assert.equal(question.destination, macFor(VISITOR));
  const host2 = await site.marpd.ctl.host(VISITOR);
  assert.equal(host2?.contest, null, 'a clean move is no contest');
});

labTest('a move leaves no moment without any route', async (lab) => {
  const { site, host } = await movingSite(lab);
  await host.plug('lan1', 'request');
  await site.marpd.state(VISITOR, 'settled');
  const missed = new Program(site.router, [
    'sh',
    '-c',
    `while ip route show ${VISITOR} | grep -q .; do :; done; echo gap`,
  ]);
  await pause(100);
  for (const lan of ['lan2', 'lan1', 'lan2']) {
    await host.plug(lan, 'request');
    await site.marpd.routed(VISITOR, lan);
    await site.marpd.state(VISITOR, 'settled');
  }
  assert.ok(missed.running, 'the route was always there');
  await missed.stop('SIGKILL');
});

labTest('a TCP connection survives moves with its data intact', async (lab) => {
  const { site, host } = await movingSite(lab);
  await host.plug('lan1', 'request');
  await site.reachable(VISITOR);
  const code = (body: string) => [process.execPath, '-e', `const net=require('node:net');${body}`];
  // The host sends 4000 numbered lines, one per 2 ms; the remote host checks that none is lost or out of order.
  const server = new Program(
    site.remote,
    code(`let n=0,rest='';net.createServer(s=>{s.on('data',d=>{const l=(rest+d).split('\\n');rest=l.pop();
      for(const x of l){if(x!==String(n)){console.log('wrong',x,n);process.exit(1)}n++}});
      s.on('end',()=>{console.log('complete',n);process.exit(0)})}).listen(7777,()=>console.log('listening'))`),
  );
  await server.line(/listening/);
  const lines = 2500;
  new Program(
    host.namespace,
    code(`const s=net.connect(7777,'${REMOTE_IP}',()=>{let n=0;const t=setInterval(()=>{s.write(n+++'\\n');
      if(n===${lines}){clearInterval(t);s.end()}},2)});s.on('error',e=>console.log(String(e)))`),
  );
  for (const lan of ['lan2', 'lan0', 'lan1', 'lan2', 'lan0']) {
    await pause(600);
    await host.plug(lan, 'request', lan !== 'lan2');
  }
  const { text } = await server.line(/^(complete|wrong) /, 40_000);
  assert.equal(text, `complete ${lines}`);
});
