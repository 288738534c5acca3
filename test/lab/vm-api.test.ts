import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { macFor } from './host.js';
import type { Marpd, MarpdConfig } from './marpd.js';
import type { Lab } from './namespace.js';
import { Site, routerMac } from './site.js';
import { waitFor } from './program.js';
import { story } from './story.js';

/** A control API that moves hosts must take no nonsense (DESIGN 3.4, issue 5: wrong or hostile API input). */

const GUEST = '10.1.1.5';
const MAC = macFor(GUEST);

/** A site with one visitor, so that there is something to lose. */
async function occupied(lab: Lab, config: MarpdConfig = {}): Promise<Site> {
  const site = await new Site(lab, { config }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled');
  return site;
}

/** What must be the same afterwards. */
async function holdings(marpd: Marpd): Promise<string> {
  const page = await marpd.ctl.get<{
    hosts: { ip: string; mac: string; state: string; interface: string }[];
  }>('/v1/hosts');
  const hosts = page?.hosts.map(({ ip, mac, state, interface: name }) => [ip, mac, state, name]);
  return JSON.stringify([
    hosts,
    marpd.routes(),
    marpd
      .neighbours()
      .map(({ dst, lladdr }) => [dst, lladdr])
      .sort(),
  ]);
}

const BAD: readonly (readonly [
  what: string,
  command: string,
  body: unknown,
  status: number,
  says: RegExp,
])[] = [
  [
    'unknown interface',
    'attach',
    { mac: MAC, ip: GUEST, interface: 'tap77' },
    409,
    /no such interface: tap77/,
  ],
  [
    'no mobility interface',
    'attach',
    { mac: MAC, ip: GUEST, interface: 'up0' },
    409,
    /not a mobility interface/,
  ],
  ['loopback', 'prepare', { mac: MAC, ip: GUEST, interface: 'lo' }, 409, /not a mobility interface/],
  [
    'foreign prefix',
    'attach',
    { mac: MAC, ip: '10.99.0.5', interface: 'lan0' },
    409,
    /10\.99\.0\.5 is refused/,
  ],
  [
    'one foreign among good ones',
    'attach',
    { mac: MAC, ip: ['10.1.1.6', '10.99.0.5'], interface: 'lan1' },
    409,
    /10\.99/,
  ],
  ['the gateway', 'attach', { mac: MAC, ip: '10.1.1.1', interface: 'lan1' }, 409, /refused/],
  ['the network address', 'attach', { mac: MAC, ip: '10.1.1.0', interface: 'lan1' }, 409, /refused/],
  [
    'multicast MAC',
    'attach',
    { mac: '01:00:5e:00:00:05', ip: GUEST, interface: 'lan0' },
    400,
    /group address/,
  ],
  [
    'broadcast MAC',
    'prepare',
    { mac: 'ff:ff:ff:ff:ff:ff', ip: GUEST, interface: 'lan0' },
    400,
    /group address/,
  ],
  ['MAC of zeros', 'attach', { mac: '00:00:00:00:00:00', ip: GUEST, interface: 'lan0' }, 400, /zero/],
  ['no MAC', 'prepare', { ip: GUEST, interface: 'lan0' }, 400, /needs the MAC/],
  [
    'no MAC that is known',
    'attach',
    { ip: '10.1.1.77', interface: 'lan0' },
    409,
    /MAC of 10\.1\.1\.77 is not known/,
  ],
  ['nothing', 'detach', {}, 400, /interface/],
  ['multicast address', 'attach', { mac: MAC, ip: '224.0.0.5', interface: 'lan0' }, 400, /no host can have/],
  ['loopback address', 'attach', { mac: MAC, ip: '127.0.0.1', interface: 'lan0' }, 400, /no host can have/],
  ['a prefix', 'attach', { mac: MAC, ip: '10.1.1.0/24', interface: 'lan0' }, 400, /not an IP address/],
  ['a number', 'attach', { mac: MAC, ip: 167838981, interface: 'lan0' }, 400, /not an IP address/],
  ['nested', 'attach', { mac: MAC, ip: [[GUEST]], interface: 'lan0' }, 400, /not an IP address/],
  [
    '300 addresses',
    'attach',
    { mac: MAC, ip: Array.from({ length: 300 }, () => GUEST), interface: 'lan0' },
    400,
    /at most 256/,
  ],
  [
    'a shell in the name',
    'attach',
    { mac: MAC, ip: GUEST, interface: 'lan0;reboot' },
    409,
    /no such interface/,
  ],
  [
    'a newline in the name',
    'attach',
    { mac: MAC, ip: GUEST, interface: 'lan0\nlink set lan0 down' },
    400,
    /not an interface name/,
  ],
  ['a path in the name', 'detach', { mac: MAC, interface: '../../lan1' }, 400, /not an interface name/],
  ['a long name', 'detach', { mac: MAC, interface: 'x'.repeat(4000) }, 400, /not an interface name/],
  [
    'unknown field',
    'attach',
    { mac: MAC, ip: GUEST, interface: 'lan0', force: true },
    400,
    /"force": unknown field/,
  ],
  [
    '__proto__',
    'attach',
    JSON.parse('{"__proto__": {"mac": "02:00:00:00:00:01"}, "interface": "lan0"}'),
    400,
    /unknown field/,
  ],
  ['an array', 'attach', [], 400, /must be a JSON object/],
  ['null', 'attach', null, 400, /must be a JSON object/],
];

story('bad signals are refused with a reason, and nothing changes (issue 5)', async (lab) => {
  const site = await occupied(lab);
  const { ctl } = site.marpd;
  const before = await holdings(site.marpd);
  for (const [what, command, body, status, says] of BAD) {
    const answer = await ctl.exchange('POST', `/v1/${command}`, JSON.stringify(body));
    assert.equal(answer.status, status, `${what}: ${answer.status} ${answer.body}`);
    const { message } = (JSON.parse(answer.body) as { error: { message: string } }).error;
    assert.match(message, says, what);
  }
  const broken: readonly (readonly [string, string, string | undefined, number])[] = [
    ['POST', '/v1/attach', '{"mac":', 400],
    ['POST', '/v1/attach', '', 400],
    ['POST', '/v1/attach', '['.repeat(50_000), 400],
    ['GET', '/v1/attach', undefined, 405],
    ['DELETE', '/v1/hosts', undefined, 405],
    ['POST', '/v1/migrate', '{}', 404],
    ['GET', '/v1/../../etc/passwd', undefined, 404],
    ['GET', '/v1/hosts/%ff', undefined, 400],
  ];
  for (const [method, path, body, status] of broken) {
    const answer = await ctl.exchange(method, path, body);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.status} ${answer.body}`);
  }
  assert.equal(await holdings(site.marpd), before);
  assert.equal(site.marpd.program?.running, true);
});

story('every refusal of a signal says why, and what to do about it (issue 5)', async (lab) => {
  const config = {
    interface: [{ name: 'lan0' }, { name: 'lan1', max_hosts: 2 }, { name: 'tap*' }],
    policy: {
      deny: ['10.1.1.128/25'],
      bind: [{ ip: '10.1.1.7', mac: macFor('10.1.1.7') }],
      limits: { hosts: 3 },
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
    [
      'attach',
      { ...at, interface: 'tap77' },
      'no such interface: tap77; it has to exist before this, and "ip link" shows those that do',
    ],
    [
      'prepare',
      { ...at, interface: 'up0' },
      'not a mobility interface: up0 is named by no [[interface]] (lan0, lan1, tap*); add one and reload, or name another',
    ],
    ['attach', { ...at, interface: 'tap9' }, 'not a mobility interface: tap9 is a port of br9; name br9'],
    ['attach', { ...at, interface: 'tap8' }, 'not up: tap8; "ip link set tap8 up", and again'],
    [
      'attach',
      { ...at, ip: '10.99.0.5' },
      '10.99.0.5 is refused: it is in no allowed prefix: add its prefix to policy.allow or, without such a list, as a [[subnet]], and reload',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.200' },
      '10.1.1.200 is refused: it is in a denied prefix: take that out of policy.deny, if the guest may have it, and reload',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.7' },
      '10.1.1.7 is refused: policy.bind has another MAC for it: correct the binding and reload, or give the MAC that it is bound to',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.1' },
      '10.1.1.1 is refused: it is a configured gateway (a [[subnet]]), not a guest: give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '192.0.2.1' },
      '192.0.2.1 is refused: it is an address of this router itself: give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '10.1.1.255' },
      '10.1.1.255 is refused: it is the network or broadcast address of a subnet, no host can have it: give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '10.2.2.9' },
      '10.2.2.9 is refused: it is a router that a route leads to (ip route), and routers do not move: give the address of the guest',
    ],
    [
      'attach',
      { ...at, ip: '192.0.2.77' },
      '192.0.2.77 is refused: it belongs to the subnet of an interface that is no mobility interface: add an [[interface]] for that one, if its hosts may move',
    ],
    [
      'attach',
      { ...at, mac: routerMac('lan1') },
      `${routerMac('lan1')} is a MAC of this router itself: give that of the card in the guest, not of its tap`,
    ],
    ['attach', { ip: '10.1.1.77', interface: 'lan0' }, 'the MAC of 10.1.1.77 is not known: give it (mac)'],
    [
      'attach',
      { mac: macFor('10.1.1.77'), interface: 'lan0' },
      `no address is given, and none is known of ${macFor('10.1.1.77')}: give its addresses (ip)`,
    ],
    [
      'attach',
      { ...at, ip: ['10.1.1.20', '10.1.1.21', '10.1.1.22'] },
      'the table of hosts is full: raise policy.limits.hosts (3) and reload',
    ],
    [
      'probe',
      { ip: '10.1.1.99' },
      'no such host: 10.1.1.99; it was never heard here, or forgotten ("marpctl why 10.1.1.99" tells of refused frames)',
    ],
    [
      'clear',
      { ip: '10.1.1.99' },
      'no such host: 10.1.1.99; it was never heard here, or forgotten ("marpctl why 10.1.1.99" tells of refused frames)',
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
  assert.match(stderr, /^marpctl: 10\.99\.0\.5 is refused: it is in no allowed prefix: add its prefix/);
  assert.equal(await holdings(marpd), before);

  const other = { ...at, mac: macFor('10.1.1.6'), interface: 'lan1' };
  assert.equal((await marpd.ctl.post('/v1/attach', other)).status, 200);
  const third = { mac: macFor('10.1.1.8'), ip: '10.1.1.8', interface: 'lan1' };
  const full = await marpd.ctl.post('/v1/attach', third);
  assert.match(
    full.body,
    /lan1 has all the hosts it may have: raise max_hosts \(2\) of its \[\[interface\]\], or detach one/,
  );
  router.ip('link set lan1 down');
  await marpd.state(GUEST, 'remembered');
  const asked = await marpd.ctl.post('/v1/probe', { ip: GUEST });
  assert.equal(asked.status, 409);
  assert.match(
    asked.body,
    /its last interface is not up: 10\.1\.1\.5 was on lan1, and is asked by itself when that returns/,
  );
});

story(
  'a body of 10 MB is refused and not kept; the daemon neither grows nor stops (issue 5)',
  async (lab) => {
    const site = await occupied(lab);
    const { ctl } = site.marpd;
    const before = await holdings(site.marpd);
    const { rssBytes } = await ctl.status();
    const huge = join(lab.directory, 'huge');
    const answer = join(lab.directory, 'answer');
    writeFileSync(huge, JSON.stringify({ mac: MAC, ip: 'x'.repeat(10 << 20), interface: 'lan1' }));
    // curl asks first whether such a body is welcome (Expect: 100-continue); the second time it just sends.
    for (const more of [[], ['-H', 'Expect:'], ['-H', 'Expect:', '-H', 'Transfer-Encoding: chunked']]) {
      const argv = ['curl', '-s', '-m', '10', '--unix-socket', site.marpd.socket, '-o', answer, ...more];
      site.router.status(...argv, '--data-binary', `@${huge}`, 'http://marpd/v1/attach');
      assert.match(readFileSync(answer, 'utf8'), /larger than 65536 bytes/);
    }
    const grown = (await ctl.status()).rssBytes - rssBytes;
    assert.ok(grown < 50 << 20, `grew by ${(grown / 2 ** 20).toFixed(0)} MiB`);
    assert.equal(await holdings(site.marpd), before);
  },
);

story(
  '10,000 hostile requests as fast as they go: all refused, and a guest is learned meanwhile (issue 5)',
  async (lab) => {
    const site = await occupied(lab);
    const before = await holdings(site.marpd);
    const other = site.host('other', { address: '10.1.1.6/24' });
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    const body = JSON.stringify({ mac: MAC, ip: '10.99.0.5', interface: 'lan0' });
    const ask = () =>
      new Promise<number>((resolve, reject) => {
        const options = { socketPath: site.marpd.socket, method: 'POST', path: '/v1/attach', agent };
        const asked = request(options, (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        });
        asked.on('error', reject);
        asked.end(body);
      });
    const REQUESTS = 10_000;
    let left = REQUESTS;
    const statuses = new Map<number, number>();
    const worker = async () => {
      while (left-- > 0) {
        const status = await ask();
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    };
    const began = performance.now();
    const flood = Promise.all(Array.from({ length: 32 }, worker));
    await other.plug('lan1', 'request');
    await site.marpd.routed('10.1.1.6', 'lan1', 5000);
    const learned = performance.now() - began;
    await flood;
    const seconds = (performance.now() - began) / 1000;
    agent.destroy();
    console.log(
      `# ${(REQUESTS / seconds).toFixed(0)} requests/s refused; a newcomer was routed after ${learned.toFixed(0)} ms`,
    );
    assert.deepEqual([...statuses], [[409, REQUESTS]]);
    await site.marpd.state('10.1.1.6', 'settled');
    const detached = await site.marpd.ctl.post('/v1/detach', { ip: '10.1.1.6', interface: 'lan1' });
    assert.equal(detached.status, 200, detached.body);
    await site.marpd.routed('10.1.1.6', undefined);
    assert.deepEqual(
      site.marpd.routes().map(({ dst }) => dst),
      [GUEST],
    );
    assert.ok(before.includes(GUEST));
  },
);

/** A CA, and certificates that it and a stranger have signed, made by openssl in the lab's directory. */
function certificates(site: {
  readonly lab: Lab;
  readonly router: Site['router'];
}): (name: string) => string {
  const path = (name: string) => join(site.lab.directory, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const openssl = (...words: readonly string[]) => site.router.exec('openssl', ...words);
  for (const ca of ['ca', 'strange-ca']) {
    openssl(
      'req',
      '-x509',
      ...key,
      '-subj',
      `/CN=${ca}`,
      '-keyout',
      path(`${ca}.key`),
      '-out',
      path(`${ca}.pem`),
    );
  }
  for (const [name, ca] of [
    ['router', 'ca'],
    ['hypervisor', 'ca'],
    ['stranger', 'strange-ca'],
  ] as const) {
    const request = path(`${name}.csr`);
    openssl(
      'req',
      ...key.slice(0, -2),
      '-subj',
      `/CN=${name}`,
      '-addext',
      'subjectAltName=IP:192.0.2.1',
      '-keyout',
      path(`${name}.key`),
      '-out',
      request,
    );
    const signer = [
      '-CA',
      path(`${ca}.pem`),
      '-CAkey',
      path(`${ca}.key`),
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
    ];
    openssl('x509', '-req', '-in', request, ...signer, '-days', '2', '-out', path(`${name}.pem`));
  }
  return path;
}

story('over TCP only a certificate of the site’s CA is listened to (DESIGN 3.4: mutual TLS)', async (lab) => {
  const site = new Site(lab);
  const path = certificates(site);
  const tcp = {
    listen: '192.0.2.1:4411',
    ca: path('ca.pem'),
    cert: path('router.pem'),
    key: path('router.key'),
  };
  site.marpd.configure({ ...site.marpd.config, control: { tcp } });
  await site.start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'silent');
  const body = JSON.stringify({ mac: MAC, ip: GUEST, interface: 'lan1' });
  const status = join(lab.directory, 'status');
  const curl = (scheme: string, ...more: readonly string[]) => {
    const options = ['-s', '-S', '-m', '5', '-o', status, '-d', body, ...more];
    return site.remote.status('curl', ...options, `${scheme}://192.0.2.1:4411/v1/attach`);
  };
  const as = (name: string) => ['--cert', path(`${name}.pem`), '--key', path(`${name}.key`)];
  const trusting = ['--cacert', path('ca.pem')];
  assert.notEqual(curl('https', ...trusting), 0, 'no certificate');
  assert.notEqual(curl('https', ...trusting, ...as('stranger')), 0, 'a certificate of somebody else');
  assert.notEqual(curl('https', ...trusting, ...as('hypervisor'), '--tls-max', '1.1'), 0, 'TLS 1.1');
  assert.notEqual(curl('http'), 0, 'no TLS');
  assert.deepEqual(site.marpd.routes(), []);
  assert.equal(curl('https', ...trusting, ...as('hypervisor')), 0, 'a hypervisor of the site');
  await site.marpd.routed(GUEST, 'lan1', 500);
  assert.ok(site.reaches(GUEST));
  const output = () => site.marpd.program?.output ?? '';
  await waitFor(() => /refused 192\.0\.2\.2/.test(output()), 2000, 'the refusals in the log');
});
