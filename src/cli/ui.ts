import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { ControlClient } from '../control/client.js';
import { UiServer } from '../ui/server.js';
import { EXIT, type Invocation, Usage, print } from './arguments/command.js';

/** `marpctl ui`: serves the page until Ctrl-C. */

const DEFAULT_PORT = 8099;

export async function ui(call: Invocation): Promise<number> {
  const { args, options, terminal } = call;
  const path = options.replay;
  const replay = path === undefined ? undefined : { name: basename(path), text: readText(path) };
  // A recorded file needs no router.
  const local = args.length === 0 && replay === undefined ? [[hostname(), call.client] as const] : [];
  const routers = new Map([...local, ...args.map((text) => routerOf(text, call))]);
  if (routers.size < args.length) throw new Usage('two routers have the same name');
  const server = await listen({ routers, port: options.port ?? DEFAULT_PORT, replay });
  try {
    print(call, { address: server.address }, ({ address }) => `${address}\n`);
    if (terminal.isTTY) terminal.err('Open this address in a browser on this machine. Ctrl-C ends it.\n');
    await new Promise<void>((resolve) => {
      if (terminal.signal?.aborted) resolve();
      else terminal.signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    await server.stop();
  }
  return EXIT.ok;
}

/** `NAME=SOCKET` or `NAME=https://...`, checked before: see routerArgument. */
function routerOf(text: string, { options }: Invocation): readonly [string, ControlClient] {
  const mark = text.indexOf('=');
  const [name, place] = [text.slice(0, mark), text.slice(mark + 1)];
  if (!place.startsWith('https:')) return [name, new ControlClient(place)];
  const { MARPD_CERT, MARPD_KEY, MARPD_CA } = process.env;
  const { cert = MARPD_CERT, key = MARPD_KEY, ca = MARPD_CA } = options;
  if (cert === undefined || key === undefined || ca === undefined || !URL.canParse(place))
    throw new Usage(`${place}: needs --cert, --key and --ca`);
  return [name, new ControlClient({ url: new URL(place), cert, key, ca })];
}

/** @throws Usage */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Usage(`--replay ${path}: ${(error as Error).message}`);
  }
}

/** @throws Usage when the port is taken */
async function listen(options: Parameters<typeof UiServer.start>[0]): Promise<UiServer> {
  try {
    return await UiServer.start(options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    throw new Usage(`port ${options.port} is taken or not allowed: choose another one with --port`);
  }
}
