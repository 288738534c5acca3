import assert from 'node:assert/strict';
import { macFor } from '../../kit/host.js';
import { GUEST, MAC, holdings, occupied } from '../../kit/occupied-site.js';
import { waitFor } from '../../kit/program.js';
import { routerMac } from '../../kit/site.js';
import { labTest } from '../../kit/lab-test.js';

labTest('every refusal of a signal says why, and what to do about it', async (lab) => {
  const config = {
    interface: [{ name: 'lan0' }, { name: 'lan1', max_hosts: 2 }, { name: 'tap*' }],
    policy: {
      deny: ['10.1.1.128/25'],
      bind: [{ ip: '10.1.1.7', mac: macFor('10.1.1.7') }],
      limits: { max_hosts: 3 },
    },
  };
  const site = await occupied(lab, config);
  const { router, marpd } = site;
  router.ip(
    'route add 10.7.0.0/16 via 10.2.2.9',
    'link add br9 type bridge',
    'link add tap8 type veth peer name tap9',
    'link set tap9 master br9',
  );
  await waitFor(
    async () => (await marpd.ctl.interfaces()).some(({ name }) => name === 'tap8'),
    3000,
    'tap8 to be known',
  );
  const at = { mac: MAC, ip: '10.1.1.6', interface: 'lan0' };
  const cases: readonly (readonly [command: string, body: object, says: string])[] = [
    ['attach', { ...at, interface: 'tap77' }, 'no such interface: tap77 (ip link lists those that exist)'],
    [
      'prepare',
      { ...at, interface: 'up0' },
      'not a mobility interface: no [[interface]] matches up0 (configured: lan0, lan1, tap*); add one and reload, or use another',
    ],
    ['attach', { ...at, interface: 'tap9' }, 'not a mobility interface: tap9 is a port of br9; use br9'],
    ['attach', { ...at, interface: 'tap8' }, 'not up: tap8; run "ip link set tap8 up" and try again'],
    [
      'attach',
      { ...at, ip: '10.99.0.5' },
      '10.99.0.5 is refused: it is not in an allowed prefix; add its prefix to policy.allow (or, if there is no such list, as a [[subnet]]) and reload',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.200' },
      '10.1.1.200 is refused: it is in a denied prefix; remove the prefix from policy.deny if the guest may have the address, and reload',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.7' },
      '10.1.1.7 is refused: policy.bind binds it to another MAC; correct the binding and reload, or give that MAC',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.1' },
      '10.1.1.1 is refused: it is the gateway of a [[subnet]]; give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '192.0.2.1' },
      '192.0.2.1 is refused: it is an address of this router; give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.255' },
      '10.1.1.255 is refused: it is the network or broadcast address of a subnet; give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '10.2.2.9' },
      '10.2.2.9 is refused: it is the next hop of a route (ip route); give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '192.0.2.77' },
      '192.0.2.77 is refused: it belongs to the subnet of an interface that is not a mobility interface; add an [[interface]] for that one if its hosts may move',
    ],
    [
      'attach',
      { ...at, mac: routerMac('lan0') },
      `${routerMac('lan0')} is a MAC of this router; give the MAC of the card inside the guest, not of its tap`,
    ],
    ['attach', { ip: '10.1.1.77', interface: 'lan0' }, 'the MAC of 10.1.1.77 is not known; give it (mac)'],
    [
      'attach',
      { mac: macFor('10.1.1.77'), interface: 'lan0' },
      `no address given, and none is known of ${macFor('10.1.1.77')}; give its addresses (ip)`,
    ],
    [
      'attach',
      { ...at, ip: ['10.1.1.20', '10.1.1.21', '10.1.1.22'] },
      'host limit reached (policy.limits.max_hosts = 3): raise it and reload',
    ],
    [
      'probe',
      { ip: '10.1.1.99' },
      'no such host: 10.1.1.99 was never heard here, or is forgotten ("marpctl why 10.1.1.99" lists refused frames)',
    ],
    [
      'clear',
      { ip: '10.1.1.99' },
      'no such host: 10.1.1.99 was never heard here, or is forgotten ("marpctl why 10.1.1.99" lists refused frames)',
    ],
  ];
  const before = await holdings(marpd);
  for (const [command, body, says] of cases) {
    const answer = await marpd.ctl.exchange('POST', `/v1/${command}`, JSON.stringify(body));
    assert.deepEqual(
      [answer.status, JSON.parse(answer.body)],
      [409, { error: { code: 'refused', message: says } }],
      JSON.stringify(body),
    );
  }
  const { status, stderr } = marpd.ctl.run(
    'attach',
    '--mac',
    MAC,
    '--ip',
    '10.99.0.5',
    '--interface',
    'lan0',
  );
  assert.equal(status, 1);
  assert.match(stderr, /^marpctl: 10\.99\.0\.5 is refused: it is not in an allowed prefix; add its prefix/);
  assert.equal(await holdings(marpd), before);

  const other = { ...at, mac: macFor('10.1.1.6'), interface: 'lan1' };
  assert.equal((await marpd.ctl.post('/v1/attach', other)).status, 200);
  const third = { mac: macFor('10.1.1.8'), ip: '10.1.1.8', interface: 'lan1' };
  const full = await marpd.ctl.post('/v1/attach', third);
  assert.match(full.body, /host limit reached on lan1 \(max_hosts = 2\): raise it, or detach a host/);
  router.ip('link set lan1 down');
  await marpd.state(GUEST, 'remembered');
  const asked = await marpd.ctl.post('/v1/probe', { ip: GUEST });
  assert.equal(asked.status, 409);
  assert.match(asked.body, /10\.1\.1\.5 cannot be probed: its last interface lan1 is not up/);
});
