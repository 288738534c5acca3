import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../../kit/namespace.js';
import { GUEST, MAC, holdings, occupied } from '../../kit/occupied-site.js';
import { waitFor } from '../../kit/program.js';
import { Site } from '../../kit/site.js';
import { labTest } from '../../kit/lab-test.js';

/** A control API that moves hosts must take no nonsense (design.md 3.4): wrong and hostile input. */

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
    /unknown field "force"/,
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

labTest('bad signals are refused with a reason, and nothing changes', async (lab) => {
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

labTest('a body of 10 MB is refused and not kept; the daemon neither grows nor stops', async (lab) => {
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
});

labTest(
  '10,000 hostile requests as fast as they go: all refused, and a guest is learned meanwhile',
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

labTest(
  'over TCP only a certificate of the site’s CA is listened to (design.md 3.4: mutual TLS)',
  async (lab) => {
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
  },
);
