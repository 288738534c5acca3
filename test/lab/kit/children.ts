import { commandLine, descendants } from './processes.js';

/** The programs that a daemon starts, by their command lines. */
export const CHILDREN = {
  capture: /capture.reader/,
  monitor: /^ip\b.*monitor/,
  batch: /^ip\b.*-batch/,
};
export type Task = keyof typeof CHILDREN;

export function pidsOf(daemon: number, task: Task): number[] {
  return descendants(daemon)
    .slice(1)
    .filter((pid) => CHILDREN[task].test(commandLine(pid)));
}
