import { randomUUID } from 'node:crypto';
import { linkSync, lstatSync, mkdirSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { type Server, createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** This instance must not start; `message` says why and what to do. */
export class InstanceError extends Error {
  override readonly name = 'InstanceError';
}

export interface InstanceOptions {
  /** Number of our routes: a daemon deletes every route that carries its number and is not its own. */
  readonly protocol: number;
  readonly stateDirectory: string;
}

export interface InstanceLock {
  /** After everything that it protects is done. */
  release(): void;
}

const ANSWER_MS = 1000;
const RACE_MS = 20;

/**
 * Holds what two daemons must not share: the routes of one protocol number in one network namespace, and the state
 * directory. Each lock is a listening socket, so it ends with this process however that ends. The first is an abstract
 * socket: its name belongs to the network namespace (network_namespaces(7)). The second is a socket in the directory,
 * which also counts between namespaces and containers. @throws InstanceError
 */
export async function lockInstance({ protocol, stateDirectory }: InstanceOptions): Promise<InstanceLock> {
  const namespace = await lockNamespace(protocol);
  try {
    const directory = await lockDirectory(stateDirectory);
    return {
      release: () => {
        directory();
        namespace.close();
      },
    };
  } catch (error) {
    namespace.close();
    throw error;
  }
}

async function lockNamespace(protocol: number): Promise<Server> {
  const name = `\0marpd-protocol-${protocol}`;
  try {
    return await listen(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    const { pid } = await holderOf(name);
    throw new InstanceError(
      `marpd is already running in this network namespace${pid} with protocol ${protocol}: stop it first`,
    );
  }
}

/** Returns the function that gives it up. */
async function lockDirectory(directory: string): Promise<() => void> {
  const path = join(directory, 'marpd.lock');
  const own = `${path}.${randomUUID().slice(0, 8)}`;
  const refuse = (pid: string) =>
    new InstanceError(
      `router.state_directory ${directory} is in use by another marpd${pid}: stop it first, or give this one another directory`,
    );
  let server: Server | undefined;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    server = await listen(own);
    const identity = identityOf(own);
    while (!linked(own, path)) {
      const found = identityOf(path);
      const holder = await holderOf(path);
      if (holder.alive) throw refuse(holder.pid);
      if (found !== undefined) removeDead(path, found, `${own}.dead`);
    }
    // Two that found the same dead lock may have moved each other's for an instant; the one that is left counts.
    await setTimeout(RACE_MS);
    if (identityOf(path) !== identity) throw refuse((await holderOf(path)).pid);
    return () => {
      rmSync(path, { force: true });
      server?.close();
    };
  } catch (error) {
    server?.close();
    if (error instanceof InstanceError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const reason =
      code === 'EACCES' || code === 'EPERM'
        ? 'permission denied: run marpd as root, or give it a directory that it may write to'
        : message;
    throw new InstanceError(`router.state_directory ${directory}: ${reason}`);
  } finally {
    if (server !== undefined) rmSync(own, { force: true });
  }
}

/** Gives the socket its second name, which only one can have. False when somebody has it. */
function linked(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Of the file, whatever its name; undefined when there is none. @throws InstanceError when it is not a lock */
function identityOf(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (found?.isSocket() === false) throw new InstanceError(`${path} is not a socket: remove it`);
  return found && `${found.dev} ${found.ino} ${found.birthtimeNs}`;
}

/** Removes the lock whose process is gone, and no other one that has taken its place meanwhile. */
function removeDead(path: string, dead: string, aside: string): void {
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (identityOf(aside) !== dead) linked(aside, path);
  unlinkSync(aside);
}

/** Tells whoever connects which process has the lock. */
function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => undefined).end(String(process.pid)));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      // Such as a connection that finds no file descriptor left: the lock holds.
      server.on('error', () => undefined);
      resolve(server.unref());
    });
  });
}

/** `pid` is text for a message, empty when it is not known. A lock that may not be asked counts as alive. */
function holderOf(path: string): Promise<{ readonly alive: boolean; readonly pid: string }> {
  return new Promise((resolve) => {
    let answer = '';
    const end = (alive: boolean) => {
      socket.destroy();
      resolve({ alive, pid: /^\d+$/.test(answer) ? ` (pid ${answer})` : '' });
    };
    const socket = createConnection(path);
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.setTimeout(ANSWER_MS, () => end(true));
    socket.on('end', () => end(true));
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      end(code !== 'ECONNREFUSED' && code !== 'ENOENT'),
    );
  });
}
