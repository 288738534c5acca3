import { type ChildProcess, spawn } from 'node:child_process';
import { confined } from './confine.js';

/** Sends each line of its input to the service manager; systemd-notify waits until that has read it. */
const RELAY = 'while read -r state; do systemd-notify "$state"; done';

let relay: ChildProcess | undefined;

/**
 * Tells the service manager (sd_notify(3)): `READY=1`, `RELOADING=1`, `STOPPING=1`, `WATCHDOG=1`. Node has no Unix
 * datagram sockets, so systemd-notify(1) speaks for us, and a shell starts it: to fork the daemon each time would cost
 * milliseconds. Without a service manager nothing happens.
 */
export function sdNotify(state: string): void {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  if (relay === undefined) {
    const [shell, ...args] = confined(['sh', '-c', RELAY], {});
    relay = spawn(shell, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    relay
      .on('error', () => undefined)
      .on('exit', () => {
        relay = undefined;
      });
    relay.stdin?.on('error', () => undefined);
    relay.unref();
    (relay.stdin as unknown as { unref(): void }).unref();
  }
  relay.stdin?.write(`${state}\n`);
}

/** While the event loop turns, the service manager hears of it, three times within the time that it allows. */
export function feedWatchdog(): void {
  const allowedMs = Number(process.env.WATCHDOG_USEC) / 1000;
  if (allowedMs > 0) setInterval(() => sdNotify('WATCHDOG=1'), allowedMs / 3).unref();
}
