import assert from 'node:assert/strict';
import { test } from 'node:test';

import { stages, voiceToVoice } from '../../web/chat/waterfall.js';

const spans = (marks) => stages(marks).map(({ name, start, end }) => [name, start, end]);

test('stages follow one another up to the first sound, whatever the order of the marks', () => {
  const marks = { playout_started: 90, speech_stopped: 0, first_token: 70, turn_ended: 50, done: 900, first_audio: 80 };
  assert.deepEqual(spans(marks), [
    ['turn_ended', 0, 50],
    ['first_token', 50, 70],
    ['first_audio', 70, 80],
    ['playout_started', 80, 90],
  ]);
});

test('work that was finished ahead of time has no length', () => {
  const marks = { speech_stopped: 0, first_token: 30, turn_ended: 50, playout_started: 60 };
  assert.deepEqual(spans(marks), [['turn_ended', 0, 50], ['first_token', 50, 50], ['playout_started', 50, 60]]);
});

test('the lengths add up to the voice-to-voice latency', () => {
  const marks = { speech_stopped: 0, turn_ended: 500, first_token: 531.5, first_audio: 560, playout_started: 571.25 };
  const sum = stages(marks).reduce((total, { start, end }) => total + end - start, 0);
  assert.equal(sum, voiceToVoice(marks));
});

test('a typed turn begins where it was taken, so that waiting for its end is no stage', () => {
  assert.deepEqual(spans({ turn_ended: 0, first_token: 40, playout_started: 60 }), [
    ['first_token', 0, 40],
    ['playout_started', 40, 60],
  ]);
});

test('a turn without a sound has no voice-to-voice latency', () => {
  assert.equal(voiceToVoice({ speech_stopped: 0, turn_ended: 500 }), null);
  assert.deepEqual(stages({}), []);
});
