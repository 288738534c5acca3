import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { gzipSync } from 'node:zlib';
import { machineTables } from '../doctor/facts.js';
import { recordDirectory, recordFiles } from '../system/state/record-ring.js';
import { type ArchiveFile, tar } from '../system/state/tar.js';
import { type Ip, formatIp, parseIp } from '../wire/addresses.js';
import { readVersion } from '../system/version.js';
import { EXIT, type Invocation, Usage } from './arguments/command.js';
import { effectiveConfig } from './config.js';
import { examine } from './doctor.js';

/** Hosts whose history is in the report: those that changed last. */
const HISTORIES = 100;
/** Of the flight recorder, the newest files first. */
const RECORD_BYTES = 32 << 20;
const CAPTURE_MS = 2000;

/** `marpctl report`: one archive for a bug report. What cannot be had is named in it. */
export async function report({ client, options, terminal }: Invocation): Promise<number> {
  const now = new Date();
  const stamp = now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  const folder = `marpd-report-${hostname()}-${stamp}`;
  const path = options.write ?? `${folder}.tar.gz`;
  const files: ArchiveFile[] = [];
  const missing: string[] = [];
  const add = async (name: string, make: () => Promise<unknown>) => {
    try {
      const value = await make();
      const bytes =
        value instanceof Uint8Array
          ? value
          : Buffer.from(typeof value === 'string' ? value : `${JSON.stringify(value, null, 1)}\n`);
      files.push({ name: `${folder}/${name}`, bytes });
    } catch (error) {
      missing.push(`${name}: ${(error as Error).message}`);
    }
  };
  terminal.err('collecting\n');
  let configPath: string | undefined;
  let stateDirectory: string | undefined;
  await add('status.json', async () => {
    const status = await client.status();
    configPath = status.configPath ?? undefined;
    return status;
  });
  let ips: Ip[] = [];
  await add('hosts.json', async () => {
    const page = await client.hosts();
    const last = [...page.hosts].sort((a, b) => a.sinceMs - b.sinceMs).slice(0, HISTORIES);
    ips = last.map(({ ip }) => parseIp(ip) as Ip);
    return page;
  });
  for (const ip of ips) await add(`why/${formatIp(ip)}.json`, () => client.why(ip));
  await add('interfaces.json', () => client.interfaces());
  await add('alarms.json', () => client.alarms());
  await add('drops.json', () => client.drops());
  await add('metrics.txt', () => client.metrics());
  await add('config.json', async () => {
    const config = await client.config();
    const { router } = effectiveConfig(config, true).values as { router?: { state_directory?: string } };
    stateDirectory = router?.state_directory;
    return config;
  });
  await add('marpd.toml', async () => readFileSync(configPath ?? '/etc/marpd/marpd.toml'));
  await add('doctor.json', () => examine(client, undefined));
  for (const { name, text } of machineTables()) await add(`machine/${name}.txt`, async () => text);
  await add('capture.pcapng', async () => {
    const stream = await client.open('/v1/capture');
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => stream.destroy(), CAPTURE_MS);
    try {
      for await (const chunk of stream) chunks.push(chunk as Buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    } finally {
      clearTimeout(timer);
    }
    return Buffer.concat(chunks);
  });
  let left = RECORD_BYTES;
  const recorded = stateDirectory === undefined ? [] : recordFiles(recordDirectory(stateDirectory)).reverse();
  for (const file of recorded) {
    await add(`record/${file.slice(file.lastIndexOf('/') + 1)}`, async () => {
      const bytes = readFileSync(file);
      left -= bytes.length;
      if (left < 0) throw new Error('left out: too large');
      return bytes;
    });
  }
  await add('README.txt', async () =>
    [
      `Report of marpd, made by marpctl ${readVersion()} (node ${process.version}) on ${now.toISOString()}.`,
      'It holds addresses and MACs of hosts, routes and the configuration. It holds no keys and no payload of packets.',
      'marpctl explain replays capture.pcapng and the files in record/.',
      ...missing.map((each) => `Missing: ${each}`),
      '',
    ].join('\n'),
  );
  const archive = gzipSync(tar(files, now));
  try {
    writeFileSync(path, archive, { mode: 0o600 });
  } catch (error) {
    throw new Usage(`cannot write ${path}: ${(error as Error).message}`);
  }
  for (const each of missing) terminal.err(`missing: ${each}\n`);
  terminal.out(`${path}\n`);
  return EXIT.ok;
}
