import assert from 'node:assert/strict';
import { test } from 'node:test';

import { spoke } from '../../web/chat/answers.js';
import { EMPTY, append, heard, lasted } from '../../web/chat/transcript.js';

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

test('an answer of several messages shows them all, and a call of a function is none', () => {
  const called = { type: 'response.output_item.added', response_id: 'r', item: { id: 'c', type: 'function_call' } };
  const [turn] = after(CREATED, OPENED, delta('One moment.'), said('One moment.'), called, delta(' It is ten.'), said(' It is ten.')).turns;
  assert.deepEqual([turn.said, turn.unheard, turn.item], ['One moment. It is ten.', '', 'b']);
  const [cut] = after(CREATED, OPENED, delta('One two.'), said('')).turns;
  assert.deepEqual([cut.said, cut.unheard], ['', 'One two.']);
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

const item = (id, role, content) => ({ type: 'conversation.item.added', item: { id, role, status: 'completed', content } });

test('typed words are a turn; an answer that begins is not added twice', () => {
  assert.equal(after(item('x', 'user', [{ type: 'input_text', text: 'Hi' }])).turns[0].text, 'Hi');
  assert.deepEqual(after(item('x', 'assistant', [])).turns, []);
  assert.equal(after(CREATED, OPENED, item('b', 'assistant', [{ type: 'output_audio', transcript: '' }])).turns.length, 1);
});

test('a turn that was ended by hand is a turn of its own, and learns its length from the page', () => {
  const transcript = after(item('x', 'user', [{ type: 'input_audio', transcript: null }]));
  assert.deepEqual([transcript.turns[0].kind, transcript.turns[0].seconds], ['spoken', 0]);
  assert.equal(lasted(transcript, 'x', 1.5).turns[0].seconds, 1.5);
});

test('a silence that is answered is a turn, and its item does not become another', () => {
  const silence = { type: 'input_audio_buffer.timeout_triggered', item_id: 'x', audio_start_ms: 0, audio_end_ms: 9 };
  const { turns } = after(silence, item('x', 'user', [{ type: 'input_audio', transcript: null }]));
  assert.deepEqual(turns.map(({ kind }) => kind), ['silent']);
});

test('the transcript of the caller’s words comes beside the conversation, in pieces or whole', () => {
  const type = 'conversation.item.input_audio_transcription';
  const hearing = after(STARTED, STOPPED, { type: `${type}.delta`, item_id: 'a', delta: 'Who are' });
  assert.equal(hearing.turns[0].text, 'Who are');
  const whole = append(hearing, { type: `${type}.completed`, item_id: 'a', transcript: ' Who are you? ' });
  assert.equal(whole.turns[0].text, 'Who are you?');
  assert.equal(append(whole, { type: `${type}.failed`, item_id: 'a' }), whole);
});

test('who comes back to a call keeps its turns, and learns of those it missed', () => {
  const session = { type: 'session.created', session: { ...SESSION, id: 'call' } };
  const before = after(session, STARTED, STOPPED, CREATED, OPENED, delta('Hello.'), done('completed'));
  const again = [item('a', 'user', [{ type: 'input_audio', transcript: null }]),
    item('b', 'assistant', [{ type: 'output_audio', transcript: 'Hello.' }]),
    item('c', 'user', [{ type: 'input_audio', transcript: 'Bye' }]),
    item('d', 'assistant', [{ type: 'output_audio', transcript: 'Goodbye.' }])];
  const { turns } = [session, ...again].reduce((transcript, event) => append(transcript, event), before);
  assert.deepEqual(turns.map((turn) => turn.said ?? turn.text), ['', 'Hello.', 'Bye', 'Goodbye.']);
  const other = append(before, { ...session, session: { ...session.session, id: 'another' } });
  assert.deepEqual(other.turns, []);
});

test('an answer that ended while the page was away is caught up with; one that goes on is left alone', () => {
  const going = after(CREATED, OPENED, delta('One'), audio('started'));
  assert.equal(append(going, item('b', 'assistant', [{ type: 'output_audio', transcript: '' }])), going);
  const cut = { ...item('b', 'assistant', [{ type: 'output_audio', transcript: 'One two' }]) };
  const [turn] = append(going, { ...cut, item: { ...cut.item, status: 'incomplete' } }).turns;
  assert.deepEqual([turn.said, turn.status], ['One two', 'interrupted']);
  assert.equal(append(going, cut).turns[0].status, 'done');
});

const words = (...pairs) => ({ type: 'parley.words', response_id: 'r', words: pairs.map(([text, ms]) => ({ text, ms })) });

test('words appear as they are said, the one that is being said included', () => {
  const timed = after(CREATED, OPENED, delta('One two three.'), words([3, 300], [7, 600]), words([14, 1100]), audio('started'));
  const shown = (ms) => spoke(timed, 'r', ms).turns[0].shown;
  assert.deepEqual([-100, 0, 299, 300, 650, 5000].map(shown), [0, 3, 3, 7, 14, 14]);
  const later = spoke(timed, 'r', 650);
  assert.equal(spoke(later, 'r', 700), later);
  assert.equal(append(later, audio('stopped')).turns[0].shown, null);
});

test('an answer that is cut shows all that was heard, and one without times all at once', () => {
  const cut = after(CREATED, OPENED, delta('One two'), words([3, 300]), audio('started'), said('One'), done('cancelled'));
  assert.deepEqual([cut.turns[0].shown, cut.turns[0].unheard], [null, ' two']);
  const untimed = after(CREATED, OPENED, delta('One two'), audio('started'));
  assert.equal(spoke(untimed, 'r', 0), untimed);
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
