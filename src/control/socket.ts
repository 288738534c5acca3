import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from 'node:fs';
import { type Server, createConnection } from 'node:net';
import { dirname } from 'node:path';

/** The control API cannot be opened; `message` says why and what to do. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
}

export interface SocketOptions {
  readonly path: string;
  /** Permission bits of the socket. */
  readonly mode: number;
  /** Name of the group that owns it. */
  readonly group: string | undefined;
}

/** Listens on a Unix socket; takes over what a dead daemon left, never what a living one uses. @throws ControlError */
export async function listenOnSocket(server: Server, options: SocketOptions): Promise<void> {
  const { path, mode, group } = options;
  const groupId = group === undefined ? undefined : groupIdOf(group);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    await removeStale(path);
    // Nobody may connect between bind, which happens before listen() returns, and chmod.
    const umask = process.umask(0o777);
    const listening = listen(server, { path });
    process.umask(umask);
    await listening;
    if (groupId !== undefined) chownSync(path, process.getuid?.() ?? 0, groupId);
    chmodSync(path, mode);
  } catch (error) {
    server.close();
    throw error instanceof ControlError
      ? error
      : new ControlError(`control.socket ${path}: ${explain(error)}`);
  }
}

/** Resolves when the server listens. `listen` binds before it returns, errors come as an event. */
export function listen(
  server: Server,
  where: { path: string } | { host: string; port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new ControlError(`control.socket ${path}: exists and is not a socket: remove it`);
  const error = await connectError(path);
  if (error === undefined) {
    throw new ControlError(`marpd is already running and listens on ${path}: stop it first`);
  }
  if (error !== 'ECONNREFUSED' && error !== 'ENOENT')
    throw new ControlError(`control.socket ${path}: ${error}`);
  try {
    unlinkSync(path);
  } catch (unlinkError) {
    if ((unlinkError as NodeJS.ErrnoException).code !== 'ENOENT') throw unlinkError;
  }
}

function connectError(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

function groupIdOf(name: string): number {
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [group, , id] = line.split(':');
    if (group === name && id !== undefined) return Number(id);
  }
  throw new ControlError(
    `control.group: group "${name}" does not exist; create it with: groupadd --system ${name}`,
  );
}

export function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  // What RestrictAddressFamilies= of the unit answers.
  if (code === 'EAFNOSUPPORT')
    return 'the service may not use TCP: systemctl edit marpd, [Service], RestrictAddressFamilies=AF_INET AF_INET6 and IPAddressDeny=';
  if (code === 'EADDRINUSE') return 'the address is already in use by another program';
  if (code === 'EADDRNOTAVAIL') return 'no interface of this machine has this address';
  if (code === 'EACCES' || code === 'EPERM') return `permission denied (${message})`;
  return message;
}
