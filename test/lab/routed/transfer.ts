import type { Host } from '../kit/host.js';
import type { Namespace } from '../kit/namespace.js';
import { Program } from '../kit/program.js';

/**
 * A TCP transfer that lasts as long as it is wanted: the host sends random blocks at a steady pace, the remote host
 * reads them, and both hash what passed.
 */

const PORT = 5001;

// Blocks of 16 KiB every 5 ms, some 3 MB/s: enough to always have segments in flight, little enough for a small machine.
const SENDER = `
  const { createHash, randomBytes } = require('node:crypto');
  require('node:net').createServer((socket) => {
    const hash = createHash('sha256');
    let bytes = 0;
    const timer = setInterval(() => {
      if (socket.writableLength > 1 << 20) return;
      const block = randomBytes(16384);
      hash.update(block);
      bytes += block.length;
      socket.write(block);
    }, 5);
    socket.on('error', (error) => console.log('broken ' + error.message));
    process.stdin.on('data', () => {
      clearInterval(timer);
      socket.end(() => console.log('passed ' + bytes + ' ' + hash.digest('hex')));
    });
  }).listen(${PORT}, () => console.log('ready'));
`;
const READER = `
  const hash = require('node:crypto').createHash('sha256');
  let bytes = 0;
  const socket = require('node:net').connect(${PORT}, process.argv[1]);
  socket.on('connect', () => console.log('ready'));
  socket.on('data', (block) => { hash.update(block); bytes += block.length; });
  socket.on('error', (error) => console.log('broken ' + error.message));
  socket.on('end', () => { console.log('passed ' + bytes + ' ' + hash.digest('hex')); process.exit(); });
`;

export class Transfer {
  private constructor(
    readonly sender: Program,
    readonly reader: Program,
  ) {}

  /** @param ip address of the host that the remote host connects to */
  static async start(host: Host, remote: Namespace, ip = host.ip): Promise<Transfer> {
    const node = (namespace: Namespace, script: string, ...args: readonly string[]) =>
      new Program(namespace, [process.execPath, '-e', script, ...args], { title: 'transfer' });
    const sender = node(host.namespace, SENDER);
    await sender.line(/^ready$/);
    const reader = node(remote, READER, ip);
    await reader.line(/^ready$/);
    return new Transfer(sender, reader);
  }

  /** Ends it. Returns what each side hashed: `BYTES SHA256`. @throws when the connection broke */
  async finish(): Promise<{ readonly sent: string; readonly read: string }> {
    this.sender.write('end\n');
    const [sent, read] = await Promise.all(
      [this.sender, this.reader].map((side) => side.line(/^(passed|broken) /, 20_000)),
    );
    await this.sender.stop();
    for (const line of [sent, read]) if (line?.text.startsWith('broken')) throw new Error(line.text);
    return { sent: (sent?.text ?? '').slice(7), read: (read?.text ?? '').slice(7) };
  }
}
