import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WORDS, follow, inCall, starting } from '../../web/call/phase.js';

/**
 * @param {string} phase
 * @param {...(string | object)} events
 */
const through = (phase, ...events) =>
  events.map((event) => (phase = follow(phase, typeof event === 'string' ? { type: event } : event)));
const done = (status) => ({ type: 'response.done', response: { id: 'r', status } });

test('a turn goes from listening through hearing, thinking and speaking back to listening', () => {
  const phases = through(
    'connecting',
    'session.created',
    'input_audio_buffer.speech_started',
    'input_audio_buffer.speech_stopped',
    'response.created',
    done('completed'), // a short answer is made before its first sample leaves
    'output_audio_buffer.started',
    'output_audio_buffer.stopped',
    'parley.trace',
  );
  assert.deepEqual(phases, [
    'listening', 'hearing', 'thinking', 'thinking', 'thinking', 'speaking', 'listening', 'listening',
  ]);
});

test('speech over the answer interrupts, and nothing of that answer hides it', () => {
  const phases = through(
    'speaking',
    'input_audio_buffer.speech_started',
    done('cancelled'),
    'output_audio_buffer.cleared',
    'parley.trace',
    'input_audio_buffer.speech_stopped',
  );
  assert.deepEqual(phases, ['interrupted', 'interrupted', 'interrupted', 'interrupted', 'thinking']);
});

test('the sound of an answer that begins while the caller speaks does not hide the caller', () => {
  assert.deepEqual(through('hearing', 'response.created', 'output_audio_buffer.started'), ['hearing', 'hearing']);
});

test('an answer that never becomes audible ends the thinking', () => {
  assert.deepEqual(through('thinking', done('failed')), ['listening']);
  assert.deepEqual(through('thinking', done('completed'), 'parley.trace'), ['thinking', 'listening']);
});

test('every phase has words, and is at rest, starting or in a call, one of them', () => {
  for (const [phase, { title }] of Object.entries(WORDS)) {
    assert.ok(title, phase);
    const rest = ['ready', 'ended', 'failed'].includes(phase);
    assert.equal(Number(rest) + Number(starting(phase)) + Number(inCall(phase)), 1, phase);
  }
});
