import { spawn } from 'node:child_process';

/**
 * Tells the service manager (sd_notify(3)): `READY=1`, `RELOADING=1`, `STOPPING=1`. Node has no Unix datagram sockets,
 * so systemd-notify(1) speaks for us; without a service manager nothing happens.
 */
export function sdNotify(state: string): void {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  spawn('systemd-notify', [state], { stdio: 'ignore' }).on('error', () => undefined);
}
