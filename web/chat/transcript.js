/**
 * What was said in a call, by whom, and how long each answer took. Pure: takes the transcript so far and one server
 * event, gives the next transcript; turns that did not change stay the same objects, so that a view can skip them.
 *
 * @import { Marks, ServerEvent, Session } from '../call/events.js'
 *
 * @typedef {{
 *   who: 'caller',
 *   id: string,
 *   text: string | null,
 *   start: number,
 *   seconds: number | null,
 * }} CallerTurn  `text` when typed; otherwise speech of `seconds`, null while it lasts, that began at `start` ms.
 *
 * @typedef {{
 *   who: 'agent',
 *   id: string,
 *   item: string | null,
 *   said: string,
 *   unheard: string,
 *   status: 'thinking' | 'speaking' | 'done' | 'interrupted' | 'failed',
 *   problem: string | null,
 *   marks: Marks | null,
 *   ear: number | null,
 * }} AgentTurn  `id` is the response's; `unheard` are the words that were cut off; `ear` is V2V in ms as this browser
 * measured it.
 *
 * @typedef {CallerTurn | AgentTurn} Turn
 * @typedef {{ turns: readonly Turn[], padding: number, silence: number }} Transcript
 * `padding` and `silence` (ms) lie inside the times of speech events: before the first and after the last syllable.
 */

/** Milliseconds before the first syllable where the session does not say: the server's own. */
const PADDING = 300;

/** @type {Transcript} */
export const EMPTY = { turns: [], padding: 0, silence: 0 };

/**
 * @param {Transcript} transcript
 * @param {ServerEvent} event
 * @returns {Transcript}
 */
export function append(transcript, event) {
  switch (event.type) {
    case 'session.created':
    case 'session.updated':
      return { ...transcript, ...margins(event.session) };
    case 'input_audio_buffer.speech_started':
      return add(transcript, spoken(event.item_id, event.audio_start_ms));
    case 'input_audio_buffer.speech_stopped': {
      const margin = transcript.padding + transcript.silence;
      return onCaller(transcript, event.item_id, (turn) => ({
        ...turn,
        seconds: Math.max(0, event.audio_end_ms - turn.start - margin) / 1000,
      }));
    }
    case 'conversation.item.added':
      return event.item.role === 'user' ? typed(transcript, event.item.id, event.item.content) : transcript;
    case 'conversation.item.truncated':
      return onAgent(transcript, (turn) => turn.item === event.item_id, interrupt);
    default:
      return answer(transcript, event);
  }
}

/**
 * The V2V of an answer, as this browser heard it.
 *
 * @param {Transcript} transcript
 * @param {string} response
 * @param {number} milliseconds
 */
export function heard(transcript, response, milliseconds) {
  return onAgent(transcript, byId(response), (turn) => ({ ...turn, ear: milliseconds }));
}

/**
 * The events of a response.
 *
 * @param {Transcript} transcript
 * @param {ServerEvent} event
 * @returns {Transcript}
 */
function answer(transcript, event) {
  switch (event.type) {
    case 'response.created':
      return add(transcript, thinking(event.response.id));
    case 'response.output_item.added':
      return onAgent(transcript, byId(event.response_id), (turn) => ({ ...turn, item: event.item.id }));
    case 'response.output_audio_transcript.delta':
      return onAgent(transcript, byId(event.response_id), (turn) => ({ ...turn, said: turn.said + event.delta }));
    case 'response.output_audio_transcript.done':
      return onAgent(transcript, byId(event.response_id), (turn) => ({ ...turn, ...split(turn.said, event.transcript) }));
    case 'output_audio_buffer.started':
      return onAgent(transcript, byId(event.response_id), (turn) => ({ ...turn, status: 'speaking' }));
    case 'output_audio_buffer.cleared':
      return onAgent(transcript, byId(event.response_id), interrupt);
    case 'response.done':
      return finish(transcript, event.response);
    case 'parley.trace':
      return onAgent(waited(transcript, event.response_id, event.wait_ms), byId(event.response_id), (turn) => ({
        ...turn,
        ...split(turn.said + turn.unheard, event.heard),
        marks: event.marks,
      }));
    default:
      return transcript;
  }
}

/**
 * Close an answer. One that was withdrawn before it had a word leaves no trace.
 *
 * @param {Transcript} transcript
 * @param {import('../call/events.js').Response} response
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
      return { ...turn, status: 'failed', problem: response.status_details?.error?.message ?? 'The answer failed.' };
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

/** @param {Session} session */
function margins(session) {
  const detection = session.audio.input?.turn_detection;
  return { padding: detection?.prefix_padding_ms ?? PADDING, silence: detection?.silence_duration_ms ?? 0 };
}

/**
 * @param {Transcript} transcript
 * @param {string} id
 * @param {import('../call/events.js').Content[]} content
 */
function typed(transcript, id, content) {
  const text = content.map((part) => (part.type === 'input_text' ? (part.text ?? '') : '')).join('');
  return text ? add(transcript, { who: 'caller', id, text, start: 0, seconds: 0 }) : transcript;
}

/** @returns {CallerTurn} */
function spoken(/** @type {string} */ id, /** @type {number} */ start) {
  return { who: 'caller', id, text: null, start, seconds: null };
}

/** @returns {AgentTurn} */
function thinking(/** @type {string} */ id) {
  const nothing = { item: null, said: '', unheard: '', problem: null, marks: null, ear: null };
  return { who: 'agent', id, status: 'thinking', ...nothing };
}

/** @returns {AgentTurn} */
function interrupt(/** @type {AgentTurn} */ turn) {
  return { ...turn, status: 'interrupted' };
}

/** @returns {(turn: AgentTurn) => boolean} */
function byId(/** @type {string} */ id) {
  return (turn) => turn.id === id;
}

/** @returns {Transcript} */
function add(/** @type {Transcript} */ transcript, /** @type {Turn} */ turn) {
  return { ...transcript, turns: [...transcript.turns, turn] };
}

/**
 * @param {Transcript} transcript
 * @param {string} id
 * @param {(turn: CallerTurn) => CallerTurn} change
 * @returns {Transcript}
 */
function onCaller(transcript, id, change) {
  const turns = transcript.turns.map((turn) => (turn.who === 'caller' && turn.id === id ? change(turn) : turn));
  return { ...transcript, turns };
}

/**
 * @param {Transcript} transcript
 * @param {(turn: AgentTurn) => boolean} which
 * @param {(turn: AgentTurn) => AgentTurn} change
 * @returns {Transcript}
 */
function onAgent(transcript, which, change) {
  const turns = transcript.turns.map((turn) => (turn.who === 'agent' && which(turn) ? change(turn) : turn));
  return { ...transcript, turns };
}
