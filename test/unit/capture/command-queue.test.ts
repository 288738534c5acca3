import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandQueue } from '../../../src/capture/command-queue.js';

function said() {
  const records: string[] = [];
  const commands = new CommandQueue((record) => records.push(Buffer.from(record).toString()));
  const open = (iface: number, text: string) =>
    commands.add(iface, { record: Buffer.from(text), answered: true });
  const close = (iface: number, text: string) =>
    commands.add(iface, { record: Buffer.from(text), answered: false });
  return { records, commands, open, close };
}

test('a command is sent at once when none is outstanding', () => {
  const { records, open, close } = said();
  close(1, 'close 1');
  open(1, 'open 1');
  open(2, 'open 2');
  assert.deepEqual(records, ['close 1', 'open 1', 'open 2']);
});

test('of the commands that follow an unanswered one, only the last is sent', () => {
  const { records, commands, open, close } = said();
  open(1, 'open a');
  for (let flap = 0; flap < 1000; flap++) {
    close(1, 'close');
    open(1, `open ${flap}`);
  }
  open(2, 'open other');
  assert.deepEqual(records, ['open a', 'open other']);
  commands.onAnswer(1);
  assert.deepEqual(records.slice(2), ['open 999']);
  close(1, 'close last');
  commands.onAnswer(1);
  assert.deepEqual(records.slice(3), ['close last']);
  open(1, 'open b');
  assert.deepEqual(records.slice(4), ['open b'], 'a close needs no answer');
});
