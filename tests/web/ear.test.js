import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Ear } from '../../web/call/ear.js';
import { fill } from '../../web/call/level.js';

const STEP = 0.01;

/**
 * Feed an ear from `from` to `to` seconds; gives the waits it found.
 *
 * @param {Ear} ear
 * @param {number} from
 * @param {number} to
 * @param {{ mic?: number, agent?: number }} levels
 */
function play(ear, from, to, { mic = 0.001, agent = 0 }) {
  const waits = [];
  for (let step = Math.round(from / STEP); step < Math.round(to / STEP); step += 1) {
    const wait = ear.hear({ time: step * STEP, mic, agent }, STEP);
    if (wait) waits.push(wait);
  }
  return waits;
}

test('a meter is empty in silence, full at full scale, and even in decibels', () => {
  assert.equal(fill(0), 0);
  assert.equal(fill(1), 1);
  assert.equal(fill(2), 1);
  const [quiet, middle, loud] = [fill(0.01), fill(0.0316228), fill(0.1)];
  assert.ok(Math.abs(loud - middle - (middle - quiet)) < 1e-6);
});

test('the wait runs from the last loud moment before the turn ended to the first sound of the answer', () => {
  const ear = new Ear();
  play(ear, 0, 1, {});
  play(ear, 1, 2, { mic: 0.1 });
  play(ear, 2, 2.5, {});
  ear.follow({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: 2400, item_id: 'a' });
  ear.follow({ type: 'response.created', response: { id: 'r', status: 'in_progress' } });
  assert.deepEqual(play(ear, 2.5, 2.6, {}), []);
  const [wait, ...more] = play(ear, 2.6, 3, { agent: 0.1 });
  assert.ok(Math.abs(wait.from - 2) < 1e-9);
  assert.ok(Math.abs(wait.to - 2.6) < 1e-9);
  assert.equal(wait.response, 'r');
  assert.deepEqual(more, []);
});

test('a noisy room is not speech: the floor follows it', () => {
  const ear = new Ear();
  play(ear, 0, 1, { mic: 0.02 });
  play(ear, 1, 2, { mic: 0.2 });
  play(ear, 2, 2.6, { mic: 0.02 });
  ear.turnEnded();
  const [wait] = play(ear, 2.6, 2.7, { mic: 0.02, agent: 0.1 });
  assert.ok(Math.abs(wait.from - 2) < 1e-9);
});

test('an answer to nothing, or to a turn that went on, is not measured', () => {
  const ear = new Ear();
  play(ear, 0, 1, { mic: 0.1 });
  assert.deepEqual(play(ear, 1, 2, { agent: 0.1 }), []);
  ear.turnEnded();
  ear.follow({ type: 'input_audio_buffer.speech_started', audio_start_ms: 1900, item_id: 'b' });
  assert.deepEqual(play(ear, 2, 3, { agent: 0.1 }), []);
});
