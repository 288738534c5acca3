import assert from 'node:assert/strict';
import { arpRequest } from '../kit/host.js';
import { Capture } from '../kit/pcap.js';
import { waitFor } from '../kit/program.js';
import { Site, routerMac } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

/** A stranger with the address of a gateway (design.md 3.2): silence where it is, and for as long as it is there. */

const GATEWAY = '10.1.1.1';
const LANS = { lan0: null, lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' };

labTest(
  'one conflict check and one announcement of a gateway address silence it on that LAN, while the stranger is there',
  async (lab) => {
    const site = await new Site(lab, { lans: LANS }).start();
    const stranger = site.host('stranger', {
      address: `${GATEWAY}/24`,
      gateway: '10.1.1.2',
      mac: '02:00:00:00:00:77',
    });
    stranger.cable.plug('lan2');
    await stranger.carrier();
    const near = site.host('near', { address: '10.1.1.6/24' });
    const far = site.host('far', { address: '10.1.1.5/24' });
    await near.plug('lan2', 'request');
    await far.plug('lan1', 'request');
    await site.marpd.state(near.ip, 'settled', 5000);
    await site.marpd.state(far.ip, 'settled', 5000);
    const asks = async (host: typeof near, lan: string): Promise<boolean> => {
      const capture = await Capture.start(site.router, lan);
      const frames = await host.frames();
      frames.send(arpRequest(host.ip, host.mac, GATEWAY));
      const answered = () =>
        capture.arps({ opcode: 'reply', senderIp: GATEWAY, source: routerMac(lan) }).length > 0;
      // A request of its own for an address that is answered in any case marks the end.
      frames.send(arpRequest(host.ip, host.mac, '192.0.2.1'));
      await waitFor(
        () => capture.arps({ opcode: 'reply', senderIp: '192.0.2.1' }).length > 0,
        3000,
        'the answer for our own address',
      );
      return answered();
    };
    stranger.namespace.status('arping', '-D', '-q', '-c', '1', '-w', '1', '-I', 'eth0', GATEWAY);
    assert.ok(await asks(near, 'lan2'), 'a conflict check claims nothing');
    assert.ok(await asks(far, 'lan1'));
    (await stranger.frames()).gratuitous(GATEWAY, stranger.mac);
    const present = async () => (await site.marpd.ctl.status()).otherRouters;
    await waitFor(async () => (await present()).length > 0, 2000, 'the other router in the status');
    const [router] = await present();
    assert.deepEqual([router?.interface, router?.ip, router?.mac], ['lan2', GATEWAY, stranger.mac]);
    assert.ok(!(await asks(near, 'lan2')), 'silence on its LAN');
    assert.ok(await asks(far, 'lan1'), 'answered on the other one');
    stranger.die();
    await waitFor(async () => (await present()).length === 0, 15_000, 'it to be over');
    assert.ok(await asks(near, 'lan2'), 'answered again');
    assert.ok(await asks(far, 'lan1'));
  },
);
