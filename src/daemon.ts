import type { Logger } from 'pino';
import { readVersion } from './arguments.js';
import { Capture } from './capture/port.js';
import { type Config, ConfigError, needsRestart } from './config.js';
import { formatTime, installedRecord, recordOf } from './control/records.js';
import type { CommandResult, StatusView } from './control/schemas.js';
import { type Api, ControlServer } from './control/server.js';
import { pageHosts, viewHost, viewInterfaces } from './control/views.js';
import { Journal } from './journal.js';
import { Echo } from './kernel/echo.js';
import { KernelWatch } from './kernel/monitor.js';
import { Claims } from './kernel/routes.js';
import { Rules } from './kernel/rules.js';
import { Settings } from './kernel/settings.js';
import { ActionLog } from './log.js';
import { readMemories, writeMemories } from './memory.js';
import { Metrics } from './metrics.js';
import type { Action, Command, Event, IfIndex, Link, Token } from './mobility/events.js';
import { Router } from './mobility/router.js';
import { type Ip, formatIp } from './wire/addresses.js';

/** The machine is not as the daemon needs it; the message says what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
