import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PushToTalk } from '../../web/chat/push.js';

/** A button on a clock that stands still until it is told to go on, and what it told. */
function button() {
  const told = [];
  const clock = { time: 0, now: () => clock.time, sleep: async (milliseconds) => void (clock.time += milliseconds) };
  const push = new PushToTalk(
    {
      pressed: () => told.push('pressed'),
      released: (seconds) => told.push(seconds),
      dropped: () => told.push('dropped'),
    },
    clock,
  );
  push.on = true;
  return { push, told, clock };
}

test('a turn lasts as long as the button is held, and the sound on its way is waited for', async () => {
  const { push, told, clock } = button();
  push.press();
  clock.time += 1500;
  const released = push.release();
  assert.ok(push.held);
  await released;
  assert.deepEqual([told, push.held, clock.time], [['pressed', 1.5], false, 1700]);
});

test('a press that is too short is no turn', async () => {
  const { push, told, clock } = button();
  push.press();
  clock.time += 100;
  await push.release();
  assert.deepEqual(told, ['pressed', 'dropped']);
});

test('a key that repeats presses once, and one that is let go twice releases once', async () => {
  const { push, told, clock } = button();
  push.press();
  push.press();
  clock.time += 1000;
  await Promise.all([push.release(), push.release()]);
  await push.release();
  assert.deepEqual(told, ['pressed', 1]);
});

test('nothing happens while turns are found by themselves', async () => {
  const { push, told } = button();
  push.on = false;
  push.press();
  await push.release();
  assert.deepEqual(told, []);
});
