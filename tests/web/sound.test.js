import assert from 'node:assert/strict';
import { test } from 'node:test';

import { preferred } from '../../web/call/codecs.js';
import { Recorder } from '../../web/call/recorder.js';
import { Tape } from '../../web/call/tape.js';

/** Ten milliseconds of sound whose samples tell their time: the microphone counts up, the agent down. */
const sound = (step) => ({
  time: step / 100,
  mic: 0,
  agent: 0,
  samples: { mic: Int16Array.of(step), agent: Int16Array.of(-step) },
});

const both = (/** @type {number} */ step) => ({ ...sound(step), samples: { mic: Int16Array.of(step), agent: Int16Array.of(30_000) } });

test('a tape gives each side between two times, and forgets what is older than minutes', () => {
  const tape = new Tape();
  for (let step = 1; step <= 15_000; step += 1) tape.push(sound(step));
  assert.equal(tape.time, 150);
  assert.deepEqual([...tape.cut('mic', 149.97, 149.99)], [14_997, 14_998, 14_999]);
  assert.deepEqual([...tape.cut('agent', 149.99, 200)], [-14_999, -15_000]);
  assert.equal(tape.cut('mic', 0, 5).length, 0);
  assert.ok(tape.cut('mic', 0, 150).length >= 12_000);
});

test('both sides sound together, and no louder than sound can be', () => {
  const tape = new Tape();
  for (const step of [1, 2, 3000]) tape.push(both(step));
  assert.deepEqual([...tape.mix(0, 30)], [30_001, 30_002, 32_767]);
});

/** @param {(recorder: Recorder, play: (seconds: number) => void) => void} call */
function recorded(call) {
  const kept = {};
  const recorder = new Recorder((turn, samples) => (kept[turn] = [samples[0], samples.at(-1)]));
  let step = 0;
  call(recorder, (seconds) => {
    for (const end = step + seconds * 100; step < end; ) recorder.push(sound((step += 1)));
  });
  return kept;
}

test('a spoken turn is cut from its first to its last syllable, as long as the server says', () => {
  const kept = recorded((recorder, play) => {
    play(2.5);
    recorder.follow({ type: 'input_audio_buffer.speech_started', item_id: 'a', audio_start_ms: 10_000 });
    play(1.5);
    recorder.follow({ type: 'input_audio_buffer.speech_stopped', item_id: 'a', audio_end_ms: 12_000 });
  });
  assert.deepEqual(kept, { 'caller a': [185, 400] });
});

test('an answer is cut from its start until its last sound came through', () => {
  const kept = recorded((recorder, play) => {
    play(1);
    recorder.follow({ type: 'output_audio_buffer.started', response_id: 'r' });
    play(2);
    recorder.follow({ type: 'output_audio_buffer.stopped', response_id: 'r' });
    play(1);
  });
  assert.deepEqual(kept, { 'agent r': [-100, -340], 'both r': [0, 0] });
});

test('a turn is both sides from the caller’s first syllable to the answer’s last, with the wait between them', () => {
  const lengths = {};
  const recorder = new Recorder((what, samples) => (lengths[what] = samples.length));
  let step = 0;
  const play = (seconds) => {
    for (const end = step + seconds * 100; step < end; ) recorder.push(sound((step += 1)));
  };
  recorder.follow({ type: 'input_audio_buffer.speech_started', item_id: 'a', audio_start_ms: 0 });
  play(2);
  recorder.follow({ type: 'input_audio_buffer.speech_stopped', item_id: 'a', audio_end_ms: 1000 });
  play(0.5);
  recorder.follow({ type: 'output_audio_buffer.started', response_id: 'r' });
  play(1);
  recorder.end();
  recorder.follow({ type: 'output_audio_buffer.started', response_id: 's' });
  play(1);
  recorder.end();
  assert.deepEqual(lengths, { 'caller a': 116, 'agent r': 101, 'both r': 266, 'agent s': 101, 'both s': 101 });
});

test('the next answer ends the one before it', () => {
  const kept = recorded((recorder, play) => {
    play(1);
    recorder.follow({ type: 'output_audio_buffer.started', response_id: 'r' });
    play(1);
    recorder.follow({ type: 'output_audio_buffer.cleared', response_id: 'r' });
    play(0.1);
    recorder.follow({ type: 'output_audio_buffer.started', response_id: 's' });
  });
  assert.deepEqual(kept['agent r'], [-100, -210]);
});

test('a turn of push-to-talk is what was heard while the button was held', () => {
  const kept = recorded((recorder, play) => {
    play(1);
    recorder.press();
    play(1);
    recorder.follow({ type: 'input_audio_buffer.committed', item_id: 'a' });
    recorder.follow({ type: 'input_audio_buffer.committed', item_id: 'spoken' });
  });
  assert.deepEqual(kept, { 'caller a': [100, 200] });
});

const CODECS = [
  { mimeType: 'audio/opus', clockRate: 48_000 },
  { mimeType: 'audio/PCMU', clockRate: 8_000 },
  { mimeType: 'audio/telephone-event', clockRate: 48_000 },
  { mimeType: 'audio/telephone-event', clockRate: 8_000 },
];

test('a telephone offers its codec alone, with the keys at its clock', () => {
  const names = (wanted) => preferred(CODECS, wanted).map(({ mimeType, clockRate }) => `${mimeType}/${clockRate}`);
  assert.deepEqual(names('pcmu'), ['audio/PCMU/8000', 'audio/telephone-event/8000']);
  assert.deepEqual(names('opus'), ['audio/opus/48000', 'audio/telephone-event/48000']);
  assert.deepEqual(names('pcma'), []);
});
