import assert from 'node:assert/strict';
import { formatTime } from '../../../src/control/records.js';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { ActionLog, createLogger } from '../../../src/observe/log.js';
import { type Gauges, Metrics } from '../../../src/observe/metrics.js';
import type { Action, DropReason, HostState } from '../../../src/mobility/events.js';
import { type Ip, type Ipv4, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';

const visitor = parseIp('10.1.1.5') as Ip;
const mac = parseMac('02:00:0a:01:01:05') as Mac;

const transition = (at: number, from: HostState, to: HostState, ip: Ip = visitor): Action => ({
  kind: 'transition',
  ip,
  from,
  to,
  cause: 'proven',
  iface: 4,
  interface: 'lan1',
  mac,
  deadline: undefined,
  heardAt: at,
  at,
});
const drop = (reason: DropReason): Action => ({ kind: 'drop', reason, ip: visitor, mac, iface: 3, at: 0 });
const alarm: Action = {
  kind: 'alarm',
  alarm: 'duplicate',
  ip: visitor,
  mac,
  interface: 'lan1',
  otherMac: undefined,
  otherInterface: 'remote',
  message: 'two of them',
  at: 0,
};

const gauges: Gauges = {
  hosts: { unknown: 0, proving: 1, home: 2, fresh: 3, settled: 4, beneath: 0, away: 5, remembered: 6 },
  interfaces: [
    {
      name: 'lan0',
      frames: 77,
      capturing: true,
      kernelDrops: 8,
      dropped: 9,
      sendFailed: 10,
      suppressed: 11,
    },
    { name: 'lan1', frames: 0, capturing: false },
  ],
  capture: { children: 1, restarts: 2 },
  kernel: { pending: 3, commands: 4, refused: 5, restarts: 6 },
  logLinesLost: 7,
  eventSubscribers: 7,
  hostsOn: () => [{ interface: 'lan0', hosts: 12 }],
  hostsOf: () => [
    { family: 'ipv4', hosts: 7 },
    { family: 'ipv6', hosts: 5 },
  ],
  frozenHosts: () => 13,
  claims: () => ({ challenger: 3, incumbent: 11 }),
  roles: () => [{ interface: 'lan0', role: 'gateway', state: 'standby' }],
  otherRouters: () => [{ interface: 'lan1', gateway: '10.2.2.1' }],
  alarms: () => ['duplicate', 'frozen', 'duplicate'],
  mapping: () => ({
    servers: [
      { server: '10.255.0.1', state: 'up', registrations: { held: 12, asking: 1 } },
      { server: '10.255.0.9', state: 'silent', registrations: { held: 0, asking: 13 } },
    ],
    cache: [{ state: 'published' }, { state: 'published' }, { state: 'stale' }],
    drops: [{ reason: 'bad-mac', count: 3 }],
    mapServer: { mappings: 14 },
  }),
  configReload: { ok: false, lastSuccess: 1_700_000_000.5 },
};

test('transitions, drops, frames and alarms are metrics with the closed lists as labels', async (t) => {
  const metrics = new Metrics(() => gauges, '1.2.3');
  t.after(() => metrics.stop());
  metrics.record(transition(0, 'proving', 'fresh'));
  metrics.record(transition(0, 'proving', 'fresh'));
  metrics.record(drop('not-allowed'));
  metrics.record(alarm);
  metrics.record({ kind: 'send', iface: 3, bytes: new Uint8Array(60), purpose: 'probe' });
  metrics.record({
    kind: 'evidence',
    evidence: 'answer',
    ip: visitor,
    mac,
    iface: 4,
    interface: 'lan1',
    rttMs: 0.4,
    at: 0,
  });
  metrics.record({ kind: 'release', ip: visitor });
  metrics.installed(0.9, 'moved');
  const expected = [
    'marpd_transitions_total{from="proving",to="fresh",cause="proven"} 2',
    'marpd_drops_total{reason="not-allowed"} 1',
    'marpd_drops_total{reason="truncated"} 0',
    'marpd_alarms_total{alarm="duplicate"} 1',
    'marpd_frames_sent_total{purpose="probe"} 1',
    'marpd_evidence_total{kind="answer"} 1',
    'marpd_probe_rtt_seconds_bucket{le="0.0005"} 1',
    'marpd_probe_rtt_seconds_bucket{le="0.0002"} 0',
    'marpd_install_latency_seconds_bucket{le="0.001",cause="moved"} 1',
    'marpd_install_latency_seconds_count{cause="moved"} 1',
    'marpd_hosts{state="settled"} 4',
    'marpd_frames_received_total{interface="lan0"} 77',
    'marpd_interface_capturing{interface="lan1"} 0',
    'marpd_frames_lost_total{interface="lan0",where="ring"} 8',
    'marpd_frames_lost_total{interface="lan0",where="capture"} 9',
    'marpd_frames_lost_total{interface="lan1",where="ring"} 0',
    'marpd_send_failures_total{interface="lan0"} 10',
    'marpd_capture_children 1',
    'marpd_capture_restarts_total 2',
    'marpd_kernel_commands_pending 3',
    'marpd_kernel_commands_total 4',
    'marpd_kernel_refusals_total 5',
    'marpd_kernel_restarts_total 6',
    'marpd_event_subscribers 7',
    'marpd_interface_hosts{interface="lan0"} 12',
    'marpd_family_hosts{family="ipv4"} 7',
    'marpd_family_hosts{family="ipv6"} 5',
    'marpd_claims{role="challenger"} 3',
    'marpd_claims{role="incumbent"} 11',
    'marpd_frozen_hosts 13',
    'marpd_role{interface="lan0",role="gateway",state="standby"} 1',
    'marpd_role{interface="lan0",role="gateway",state="active"} 0',
    'marpd_other_router{interface="lan1",gateway="10.2.2.1"} 1',
    'marpd_alarms_active{alarm="duplicate"} 2',
    'marpd_alarms_active{alarm="mac-limit"} 0',
    'marpd_mapping_server_up{server="10.255.0.1"} 1',
    'marpd_mapping_server_up{server="10.255.0.9"} 0',
    'marpd_mapping_registrations{server="10.255.0.1",state="held"} 12',
    'marpd_mapping_registrations{server="10.255.0.9",state="asking"} 13',
    'marpd_mapping_cache_entries{state="published"} 2',
    'marpd_mapping_cache_entries{state="stale"} 1',
    'marpd_mapping_server_mappings 14',
    'marpd_mapping_drops_total{reason="bad-mac"} 3',
    'marpd_mapping_drops_total{reason="old-nonce"} 0',
    'marpd_config_last_reload_successful 0',
    'marpd_config_last_reload_success_timestamp_seconds 1700000000.5',
    `marpd_build_info{version="1.2.3",node="${process.version}"} 1`,
  ];
  // Twice: what is collected at the scrape must not be added up.
  for (let scrape = 0; scrape < 2; scrape++) {
    const lines = new Set((await metrics.text()).split('\n'));
    for (const line of expected) assert.ok(lines.has(line), `no line: ${line}`);
  }
  const text = await metrics.text();
  // Those of every Node program have its usual names, which the boards of others look for.
  assert.match(text, /^process_resident_memory_bytes \d+$/m);
  assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  assert.deepEqual(
    samples.filter((line) => !/^(marpd|process|nodejs)_/.test(line)),
    [],
  );
  assert.equal(text.match(/^marpd_transitions_total\{/gm)?.length, 1, 'only transitions that occurred');
  assert.ok(metrics.eventLoopLagMs() >= 0);
});

interface Line {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly [key: string]: unknown;
}

function capture(level: 'trace' | 'debug' | 'info' | 'warn'): { log: ActionLog; lines: Line[] } {
  const lines: Line[] = [];
  const logger = createLogger(
    { level, format: 'json' },
    { write: (text) => lines.push(JSON.parse(text) as Line) },
  );
  const nameOf = (iface: number) => (iface === 3 ? 'lan0' : undefined);
  return { log: new ActionLog(logger, nameOf, (at) => formatTime(1_796_000_000_000, at)), lines };
}

test('the log line of an event has its time, to the microsecond, and no other', () => {
  const { log, lines } = capture('info');
  log.record(transition(1234.567, 'proving', 'fresh'));
  log.warn('something');
  const [event, other] = lines as [Line, Line];
  assert.equal(event.time, formatTime(1_796_000_000_000, 1234.567));
  assert.ok(Math.abs(Date.parse(other.time) - Date.now()) < 10_000);
});

test('the log line is a view of the transition', () => {
  const { log, lines } = capture('info');
  log.record(transition(0, 'proving', 'fresh'));
  log.record(transition(0, 'unknown', 'proving'));
  log.record(alarm);
  assert.deepEqual(
    lines.map(({ time: _, ...line }) => line),
    [
      {
        level: 'info',
        event: 'transition',
        ip: '10.1.1.5',
        from: 'proving',
        to: 'fresh',
        cause: 'proven',
        interface: 'lan1',
        mac: '02:00:0a:01:01:05',
        msg: '10.1.1.5 proving -> fresh on lan1 (proof): it answered the probe',
      },
      {
        level: 'warn',
        event: 'alarm',
        alarm: 'duplicate',
        ip: '10.1.1.5',
        mac: '02:00:0a:01:01:05',
        interface: 'lan1',
        otherInterface: 'remote',
        msg: '10.1.1.5 alarm duplicate: two of them (02:00:0a:01:01:05 on lan1, and on remote)',
      },
    ],
  );
  assert.match(lines[0]?.time ?? '', /^\d{4}-\d\d-\d\dT.*Z$/);
});

test('ignored frames are counted and said once, not one by one', () => {
  const { log, lines } = capture('debug');
  for (let i = 0; i < 1000; i++) log.record(drop(i % 10 === 0 ? 'denied' : 'not-allowed'));
  assert.equal(lines.length, 0);
  log.summarise();
  log.summarise();
  assert.deepEqual(
    lines.map((line) => line.msg),
    ['1000 frames ignored: not-allowed 900, denied 100'],
  );
  assert.deepEqual(lines[0]?.reasons, { 'not-allowed': 900, denied: 100 });
});

test('a burst of newcomers is logged up to a budget, then counted; forged ones that go on fill no disk', () => {
  const { log, lines } = capture('info');
  const record = (at: number, i: number) =>
    log.record(transition(at, 'proving', 'fresh', (0x0a000000 + i) as Ipv4));
  for (let i = 0; i < 3000; i++) record(0, i);
  assert.equal(lines.length, 1000);
  for (let i = 0; i < 6000; i++) record(i * 10, i);
  assert.ok(lines.length >= 1590 && lines.length <= 1600, `${lines.length} lines in a minute`);
  log.summarise();
  const skipped = 9000 - (lines.length - 1);
  assert.equal(lines.at(-1)?.msg, `${skipped} events not logged individually: proving -> fresh ${skipped}`);
});

test('forged alarms are logged once in ten seconds per kind and interface, and counted; so are warnings without end', () => {
  const { log, lines } = capture('info');
  for (let at = 0; at < 30_000; at += 2) {
    log.record({ ...alarm, at, ip: at as Ipv4, mac: (0x020000000000 + at) as Mac });
    log.record({ ...alarm, at, interface: 'lan7' });
  }
  assert.equal(lines.length, 6);
  log.summarise();
  assert.equal(lines.at(-1)?.msg, `29994 events not logged individually: alarm ${alarm.alarm} 29994`);
  const before = lines.length;
  for (let i = 0; i < 5000; i++) log.warn('the same again');
  assert.ok(lines.length - before < 1100, `${lines.length - before} warnings`);
});

test('debug shows the evidence, trace every ignored frame', () => {
  const { log, lines } = capture('trace');
  log.record({
    kind: 'evidence',
    evidence: 'gratuitous',
    ip: visitor,
    mac,
    iface: 4,
    interface: 'lan1',
    rttMs: undefined,
    at: 0,
  });
  log.record({
    kind: 'answered',
    asker: visitor,
    target: parseIp('10.1.1.1') as Ip,
    interface: 'lan1',
    at: 0,
  });
  log.record(drop('denied'));
  log.summarise();
  assert.deepEqual(lines.map((line) => [line.level, line.msg]).slice(0, 3), [
    ['debug', '10.1.1.5 gratuitous ARP from 02:00:0a:01:01:05 on lan1'],
    ['debug', '10.1.1.5 answered its ARP request for 10.1.1.1 on lan1'],
    [
      'trace',
      'frame from 02:00:0a:01:01:05 on lan0 ignored: the address is in a denied prefix (policy.deny)',
    ],
  ]);
});

test('design.md 4: JSON lines on stdout, lines for people when asked; nothing is lost at exit', () => {
  const script = (format: string) => `
    import { createLogger } from ${JSON.stringify(new URL('../../../src/observe/log.ts', import.meta.url).href)};
    import { LogSink } from ${JSON.stringify(new URL('../../../src/observe/log-sink.ts', import.meta.url).href)};
    const logger = createLogger({ level: 'info', format: '${format}' }, new LogSink());
    for (let i = 0; i < 500; i++) logger.info({ ip: '10.1.1.5' }, 'line ' + i);
    process.exit(0);
  `;
  const run = (format: string) => {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script(format)],
      { encoding: 'utf8' },
    );
    assert.equal(stderr, '');
    return stdout.trimEnd().split('\n');
  };
  for (const format of ['auto', 'json']) {
    const lines = run(format).map((line) => JSON.parse(line));
    assert.equal(lines.length, 500);
    assert.equal(lines[499].msg, 'line 499');
  }
  const pretty = run('pretty');
  assert.equal(pretty.length, 500);
  assert.match(pretty[0] ?? '', /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: line 0$/);
});
