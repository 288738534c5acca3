import assert from 'node:assert/strict';
import { Capture } from './pcap.js';
import { waitFor } from './program.js';
import { Site, routerMac } from './site.js';
import { story } from './story.js';

story(
  'RFC 826 merge: a guest that moved with its old neighbours in its cache is told of each on its first packet',
  async (lab) => {
    const site = await new Site(lab).start();
    const guest = site.host('guest');
    const neighbour = site.host('neighbour', { address: '10.1.1.9/24' });
    await neighbour.plug('lan0', 'request');
    await guest.plug('lan0', 'request');
    await waitFor(() => guest.pings(neighbour.ip), 3000, 'the guest knows its neighbour');
    const stale = guest.neighbour(neighbour.ip)?.mac;
    assert.equal(stale, neighbour.mac);

    const wire = await Capture.start(guest.namespace, 'eth0');
    await guest.plug('lan1', 'request', false);
    await site.marpd.routed(guest.ip, 'lan1');
    assert.equal(
      guest.neighbour(neighbour.ip)?.mac,
      stale,
      'the carrier never dropped: the entry is still there',
    );

    await waitFor(() => guest.pings(neighbour.ip), 3000, 'the guest reaches its old neighbour');
    const told = { opcode: 'request', senderMac: routerMac('lan1'), senderIp: neighbour.ip } as const;
    const repair = await wire.arp({ ...told, targetIp: guest.ip }, 1000);
    assert.equal(repair.destination, guest.mac, 'by unicast');
    assert.equal(guest.neighbour(neighbour.ip)?.mac, routerMac('lan1'));
  },
);
