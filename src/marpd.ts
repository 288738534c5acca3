import { resolve } from 'node:path';
import { readArguments } from './cli/arguments/arguments.js';
import { checkCapBuild } from './capture/cap-build.js';
import { ConfigError, configForInterfaces, loadConfig } from './config/config.js';
import { ControlError } from './control/socket.js';
import { Daemon, StartError } from './daemon.js';
import { createLogger, isJournal } from './observe/log.js';
import { LogSink, sayLast } from './observe/log-sink.js';
import { InstanceError } from './system/instance-lock.js';
import { feedWatchdog, sdNotify } from './system/sd-notify.js';

/** marpd: arguments, config, construct, run, stop. */
async function main(): Promise<void> {
  const { interfaces, families, mapping, checkOnly, ...given } = readArguments(process.argv.slice(2));
  // Others read it too, from where they are.
  const configPath = given.configPath === undefined ? undefined : resolve(given.configPath);
  const read = () =>
    configPath === undefined ? configForInterfaces(interfaces, families, mapping) : loadConfig(configPath);
  const config = read();
  if (checkOnly) {
    console.log(`${configPath ?? 'arguments'}: ok`);
    return;
  }
  const capBuild = checkCapBuild();
  if (!capBuild.ok) throw new StartError(capBuild.reason);

  const sink = new LogSink();
  const logger = createLogger(config.log, sink);
  const onFatal = (message: string) => fail(message);
  const starting = Daemon.start({ config, configPath, logger, read, linesLost: () => sink.lost, onFatal });
  // Before it has started, so that a signal during the start stops it in order and leaves nothing behind.
  const stop = () => {
    sdNotify('STOPPING=1');
    starting.then((daemon) => daemon.stop()).then(() => process.exit(0), fail);
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.on('SIGHUP', () => {
    starting.then((daemon) => {
      sdNotify('RELOADING=1');
      daemon.reload();
      sdNotify('READY=1');
    }, fail);
  });
  await starting;
  sdNotify('READY=1');
  feedWatchdog();
}

/** What the outside world has wrong is said in a sentence; a broken invariant of ours with its stack. */
function fail(error: unknown): never {
  const badConfig = error instanceof ConfigError;
  const expected =
    badConfig ||
    error instanceof StartError ||
    error instanceof ControlError ||
    error instanceof InstanceError ||
    typeof error === 'string';
  const text = error instanceof Error ? (expected ? error.message : error.stack) : String(error);
  const priority = isJournal(2) ? '<3>' : '';
  sayLast(`${priority}marpd: ${String(text).replaceAll('\n', `\n${priority}`)}`);
  // sysexits.h: EX_CONFIG, which the systemd unit does not restart for, and EX_SOFTWARE.
  process.exit(badConfig ? 78 : expected ? 1 : 70);
}

main().catch(fail);
