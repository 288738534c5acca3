import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** What a client may take to prove who it is. */
export const HANDSHAKE_MS = 5000;
/** Connections that have not, at one time. */
const UNFINISHED = 128;

/**
 * Connections of clients that have not proven who they are get a share of their own of what the server accepts. When it
 * is used up, the oldest one of the address that has most of them is ended.
 */
export function limitHandshakes(server: Server): void {
  const byAddress = new Map<string, Map<string, Socket>>();
  let count = 0;
  const remove = (address: string, key: string) => {
    const sockets = byAddress.get(address);
    if (sockets?.delete(key) !== true) return;
    count--;
    if (sockets.size === 0) byAddress.delete(address);
  };
  const endOne = () => {
    const [address, sockets] = [...byAddress].reduce((a, b) => (b[1].size > a[1].size ? b : a));
    const [oldest] = sockets;
    if (oldest === undefined) return;
    remove(address, oldest[0]);
    oldest[1].destroy();
  };
  server.on('connection', (socket: Socket) => {
    const { remoteAddress: address = '', remotePort } = socket;
    const key = String(remotePort);
    const sockets = byAddress.get(address) ?? new Map<string, Socket>();
    byAddress.set(address, sockets.set(key, socket));
    count++;
    socket.once('close', () => remove(address, key));
    if (count > UNFINISHED) endOne();
  });
  server.on('secureConnection', (socket: TLSSocket) =>
    remove(socket.remoteAddress ?? '', String(socket.remotePort)),
  );
}
