import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EMPTY, append, heard } from '../../web/chat/transcript.js';

/** @param {...object} events */
const after = (...events) => events.reduce((transcript, event) => append(transcript, event), EMPTY);

const SESSION = { audio: { input: { turn_detection: { prefix_padding_ms: 300, silence_duration_ms: 500 } } } };
const STARTED = { type: 'input_audio_buffer.speech_started', audio_start_ms: 1000, item_id: 'a' };
const STOPPED = { type: 'input_audio_buffer.speech_stopped', audio_end_ms: 3600, item_id: 'a' };
const CREATED = { type: 'response.created', response: { id: 'r', status: 'in_progress' } };
const OPENED = { type: 'response.output_item.added', response_id: 'r', item: { id: 'b', role: 'assistant' } };
const delta = (words) => ({ type: 'response.output_audio_transcript.delta', response_id: 'r', item_id: 'b', delta: words });
const said = (words) => ({ type: 'response.output_audio_transcript.done', response_id: 'r', item_id: 'b', transcript: words });
const done = (status, details) => ({ type: 'response.done', response: { id: 'r', status, status_details: details } });
const audio = (what) => ({ type: `output_audio_buffer.${what}`, response_id: 'r' });

test('a spoken turn lasts as long as the speech in it: padding and silence are taken off', () => {
  const speaking = after({ type: 'session.created', session: SESSION }, STARTED);
  assert.equal(speaking.turns[0].seconds, null);
  assert.equal(append(speaking, STOPPED).turns[0].seconds, 1.8);
});

test('a server that tells no padding or silence gets the whole span shown, never less than nothing', () => {
  assert.equal(after(STARTED, STOPPED).turns[0].seconds, 2.6);
  const shorter = { ...STOPPED, audio_end_ms: 1100 };
  assert.equal(after({ type: 'session.created', session: SESSION }, STARTED, shorter).turns[0].seconds, 0);
});

test('an answer grows with its words and ends completed', () => {
  const transcript = after(CREATED, OPENED, delta('Hello '), audio('started'), delta('there.'), said('Hello there.'));
  assert.deepEqual([transcript.turns[0].said, transcript.turns[0].status], ['Hello there.', 'speaking']);
  assert.equal(append(transcript, done('completed')).turns[0].status, 'done');
});

test('an answer that was cut while it was made keeps the words that were not heard apart', () => {
  const [turn] = after(CREATED, OPENED, delta('One two three four.'), audio('started'), said('One two'), done('cancelled')).turns;
  assert.deepEqual([turn.said, turn.unheard, turn.status], ['One two', ' three four.', 'interrupted']);
});

test('an answer that was cut after it was made learns from the trace what was heard', () => {
  const made = [CREATED, OPENED, delta('One two three.'), said('One two three.'), done('completed'), audio('started')];
  const cut = [audio('cleared'), { type: 'conversation.item.truncated', item_id: 'b', audio_end_ms: 400 }];
  const trace = { type: 'parley.trace', response_id: 'r', status: 'completed', marks: { turn_ended: 500 }, heard: 'One' };
  const [turn] = after(...made, ...cut, trace).turns;
  assert.deepEqual([turn.said, turn.unheard, turn.status], ['One', ' two three.', 'interrupted']);
  assert.deepEqual(turn.marks, { turn_ended: 500 });
});

test('a silence that was decided anew is taken out of the turn when the trace tells it', () => {
  const session = { type: 'session.created', session: { audio: { input: { turn_detection: { type: 'semantic_vad' } } } } };
  const started = { type: 'input_audio_buffer.speech_started', item_id: 'a', audio_start_ms: 1000 };
  const stopped = { type: 'input_audio_buffer.speech_stopped', item_id: 'a', audio_end_ms: 3000 };
  const trace = { type: 'parley.trace', response_id: 'r', status: 'completed', marks: {}, heard: '', wait_ms: 700 };
  const [turn] = after(session, started, stopped, CREATED, trace).turns;
  assert.equal(turn.seconds.toFixed(2), '1.00');
});

test('heard words that are not the beginning of what was made are shown as they are', () => {
  const [turn] = after(CREATED, delta('1 2 3'), said('one'), done('cancelled')).turns;
  assert.deepEqual([turn.said, turn.unheard], ['one', '']);
});

test('an answer that was withdrawn before its first word leaves nothing', () => {
  assert.deepEqual(after(CREATED, OPENED, done('cancelled')).turns, []);
});

test('a failed answer says why', () => {
  const details = { type: 'failed', error: { code: 'engine_failed', message: 'out of memory' } };
  assert.equal(after(CREATED, done('failed', details)).turns[0].problem, 'out of memory');
  assert.match(after(CREATED, done('failed')).turns[0].problem, /failed/);
});

test('typed words are a turn; spoken items and the agent’s own are not added twice', () => {
  const item = (role, content) => ({ type: 'conversation.item.added', item: { id: 'x', role, status: 'completed', content } });
  assert.equal(after(item('user', [{ type: 'input_text', text: 'Hi' }])).turns[0].text, 'Hi');
  assert.deepEqual(after(item('user', [{ type: 'input_audio', transcript: null }])).turns, []);
  assert.deepEqual(after(item('assistant', [])).turns, []);
});

test('what the browser heard belongs to its answer', () => {
  assert.equal(heard(after(CREATED), 'r', 612).turns[0].ear, 612);
  assert.equal(heard(after(CREATED), 'another', 612).turns[0].ear, null);
});

test('turns that an event does not touch stay the same objects', () => {
  const before = after(STARTED, CREATED);
  assert.equal(append(before, delta('Hi')).turns[0], before.turns[0]);
});

test('unknown events change nothing', () => {
  const before = after(STARTED);
  assert.equal(append(before, { type: 'rate_limits.updated' }), before);
});
