/**
 * The agent's side of the transcript. Pure: takes the transcript so far and one server event, gives the next transcript.
 *
 * @import { Item, Response, ServerEvent, Word } from '../call/events.js'
 * @import { AgentTurn, Transcript } from './turns.js'
 */

import { add, byId, onAgent, onCaller } from './turns.js';

/** What an answer is when nothing more comes of it. */
const OVER = new Set(['done', 'interrupted', 'failed']);

/**
 * Everything from a response's beginning to its trace.
 *
 * @param {Transcript} transcript
 * @param {ServerEvent} event
 * @returns {Transcript}
 */
export function answer(transcript, event) {
  switch (event.type) {
    case 'response.created': // told again to who comes back
      return transcript.turns.some(({ id, who }) => who === 'agent' && id === event.response.id)
        ? transcript
        : add(transcript, thinking(event.response.id));
    case 'response.output_item.added':
      return onAgent(transcript, byId(event.response_id), (turn) => (event.item.role ? { ...turn, item: event.item.id } : turn));
    case 'response.output_audio_transcript.delta':
      return onAgent(transcript, byId(event.response_id), (turn) => ({ ...turn, said: turn.said + event.delta }));
    case 'response.output_audio_transcript.done':
      return onAgent(transcript, byId(event.response_id), (turn) => {
        const whole = event.transcript && turn.said.endsWith(event.transcript); // One of several messages of an answer, or the only one.
        return whole ? turn : { ...turn, ...split(turn.said, event.transcript) };
      });
    case 'parley.words':
      return onAgent(transcript, byId(event.response_id), (turn) => timed(turn, event.words));
    case 'output_audio_buffer.started':
      return onAgent(transcript, byId(event.response_id), (turn) => ({
        ...turn,
        status: 'speaking',
        shown: turn.words.length ? (turn.shown ?? 0) : turn.shown,
      }));
    case 'output_audio_buffer.stopped':
      return onAgent(transcript, byId(event.response_id), (turn) => ({ ...turn, shown: null }));
    case 'output_audio_buffer.cleared':
      return onAgent(transcript, byId(event.response_id), interrupt);
    case 'conversation.item.truncated':
      return onAgent(transcript, (turn) => turn.item === event.item_id, interrupt);
    case 'response.done':
      return finish(transcript, event.response);
    case 'parley.trace':
      return onAgent(waited(transcript, event.response_id, event.wait_ms), byId(event.response_id), (turn) => ({
        ...turn,
        ...split(turn.said + turn.unheard, event.heard),
        shown: null,
        marks: event.unasked ? null : event.marks,
      }));
    default:
      return transcript;
  }
}

/**
 * An answer that ended unseen: while the page was away from the call, or before it came to it.
 *
 * @param {Transcript} transcript
 * @param {Item} item
 * @returns {Transcript}
 */
export function remembered(transcript, { id, status, content = [] }) {
  const said = content.map((part) => part.transcript ?? part.text ?? '').join('');
  if (!said) return transcript;
  const known = transcript.turns.some((turn) => turn.who === 'agent' && turn.item === id);
  const before = known ? transcript : add(transcript, { ...thinking(id), item: id });
  return onAgent(before, (turn) => turn.item === id && !OVER.has(turn.status), (turn) => ({
    ...turn,
    said,
    shown: null,
    status: status === 'incomplete' ? 'interrupted' : 'done',
  }));
}

/**
 * So much of an answer's sound was heard by now: show its words up to there, the one that is being said included.
 *
 * @param {Transcript} transcript
 * @param {string} response
 * @param {number} milliseconds
 * @returns {Transcript}  The same one while no word was added.
 */
export function spoke(transcript, response, milliseconds) {
  const turn = transcript.turns.find((turn) => turn.who === 'agent' && turn.id === response);
  if (turn?.who !== 'agent' || turn.shown === null) return transcript;
  const begun = turn.words.filter((_, index) => (turn.words[index - 1]?.ms ?? 0) <= milliseconds);
  const shown = begun.at(-1)?.text ?? 0;
  return shown > turn.shown ? onAgent(transcript, byId(response), (turn) => ({ ...turn, shown })) : transcript;
}

/**
 * How much was heard of the answer that is being said, as far as its words show: where it goes on for who comes back.
 *
 * @param {Transcript} transcript
 * @returns {{ response: string, milliseconds: number } | null}
 */
export function heardSoFar({ turns }) {
  const turn = turns.findLast((turn) => turn.who === 'agent' && turn.status === 'speaking');
  if (turn?.who !== 'agent') return null;
  const heard = turn.words.filter(({ text }) => text <= (turn.shown ?? 0));
  return { response: turn.id, milliseconds: heard.at(-1)?.ms ?? 0 };
}

/**
 * When words are said becomes known while the first of them already are.
 *
 * @param {AgentTurn} turn
 * @param {Word[]} words
 * @returns {AgentTurn}
 */
function timed(turn, words) {
  if (OVER.has(turn.status)) return { ...turn, words: [...turn.words, ...words] };
  return { ...turn, words: [...turn.words, ...words], shown: turn.shown ?? 0 };
}

/**
 * Close an answer. One that was withdrawn before it had a word leaves no trace.
 *
 * @param {Transcript} transcript
 * @param {Response} response
 * @returns {Transcript}
 */
function finish(transcript, response) {
  const turn = transcript.turns.find((turn) => turn.who === 'agent' && turn.id === response.id);
  if (response.status === 'cancelled' && turn?.who === 'agent' && !turn.said && !turn.unheard) {
    return { ...transcript, turns: transcript.turns.filter((other) => other !== turn) };
  }
  return onAgent(transcript, byId(response.id), (turn) => {
    if (response.status === 'cancelled') return interrupt(turn);
    if (response.status === 'failed') {
      const problem = response.status_details?.error?.message ?? 'The answer failed.';
      return { ...turn, status: 'failed', shown: null, problem };
    }
    return turn.status === 'interrupted' ? turn : { ...turn, status: 'done' };
  });
}

/**
 * Parts of the generated words: those that were heard, and those that were not when the answer was cut.
 *
 * @param {string} generated
 * @param {string} heard
 */
function split(generated, heard) {
  return { said: heard, unheard: generated.startsWith(heard) ? generated.slice(heard.length) : '' };
}

/**
 * Take the silence that ended a turn out of its length, where it was decided anew and only the answer's trace tells it.
 *
 * @param {Transcript} transcript
 * @param {string} response
 * @param {number | null | undefined} milliseconds
 * @returns {Transcript}
 */
function waited(transcript, response, milliseconds) {
  const answer = transcript.turns.findIndex((turn) => turn.who === 'agent' && turn.id === response);
  const before = transcript.turns[answer - 1];
  if (transcript.silence || !milliseconds || before?.who !== 'caller' || before.seconds === null) return transcript;
  return onCaller(transcript, before.id, (turn) => ({
    ...turn,
    seconds: Math.max(0, (turn.seconds ?? 0) - milliseconds / 1000),
  }));
}

/** @returns {AgentTurn} */
function thinking(/** @type {string} */ id) {
  const nothing = { item: null, said: '', unheard: '', words: [], shown: null, problem: null, marks: null, ear: null };
  return { who: 'agent', id, status: 'thinking', ...nothing };
}

/** @returns {AgentTurn} */
function interrupt(/** @type {AgentTurn} */ turn) {
  return { ...turn, status: 'interrupted', shown: null };
}
