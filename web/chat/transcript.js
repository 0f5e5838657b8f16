/**
 * What was said in a call, by whom, and how long each answer took. Pure: takes the transcript so far and one server
 * event, gives the next transcript. Who comes back to a call is told its items again: those that are known stay.
 *
 * @import { Item, ServerEvent, Session } from '../call/events.js'
 * @import { CallerTurn, Transcript } from './turns.js'
 */

import { answer, remembered } from './answers.js';
import { add, byId, onAgent, onCaller } from './turns.js';

/** Milliseconds before the first syllable where the session does not say: the server's own. */
const PADDING = 300;

/** @type {Transcript} */
export const EMPTY = { call: '', turns: [], padding: 0, silence: 0 };

/**
 * @param {Transcript} transcript
 * @param {ServerEvent} event
 * @returns {Transcript}
 */
export function append(transcript, event) {
  switch (event.type) {
    case 'session.created': {
      const kept = transcript.call === event.session.id ? transcript : EMPTY;
      return { ...kept, call: event.session.id, ...margins(event.session) };
    }
    case 'session.updated':
      return { ...transcript, ...margins(event.session) };
    case 'input_audio_buffer.speech_started':
      return add(transcript, { ...spoken(event.item_id, null), start: event.audio_start_ms });
    case 'input_audio_buffer.speech_stopped': {
      const margin = transcript.padding + transcript.silence;
      return onCaller(transcript, event.item_id, (turn) => ({
        ...turn,
        seconds: Math.max(0, event.audio_end_ms - turn.start - margin) / 1000,
      }));
    }
    case 'input_audio_buffer.timeout_triggered':
      return add(transcript, { ...spoken(event.item_id, 0), kind: 'silent' });
    case 'conversation.item.added':
      return told(transcript, event.item);
    case 'conversation.item.input_audio_transcription.delta':
      return onCaller(transcript, event.item_id, (turn) => ({ ...turn, text: turn.text + event.delta }));
    case 'conversation.item.input_audio_transcription.completed':
      return onCaller(transcript, event.item_id, (turn) => ({ ...turn, text: event.transcript.trim() }));
    default:
      return answer(transcript, event);
  }
}

/**
 * Whether a turn of the caller's is in it.
 *
 * @param {Transcript} transcript
 * @param {string} item
 */
export function knows({ turns }, item) {
  return turns.some((turn) => turn.who === 'caller' && turn.id === item);
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
 * How long a turn took that the caller ended by hand: no event tells.
 *
 * @param {Transcript} transcript
 * @param {string} item
 * @param {number} seconds
 */
export function lasted(transcript, item, seconds) {
  return onCaller(transcript, item, (turn) => ({ ...turn, seconds }));
}

/**
 * An item that no other event has told of: typed, ended by hand, or older than this page.
 *
 * @param {Transcript} transcript
 * @param {Item} item
 * @returns {Transcript}
 */
function told(transcript, item) {
  const { id, role, content } = item;
  if (role === 'assistant') return remembered(transcript, item);
  if (role !== 'user' || knows(transcript, id)) return transcript;
  const typed = content?.map((part) => (part.type === 'input_text' ? (part.text ?? '') : '')).join('');
  if (typed) return add(transcript, { ...spoken(id, 0), kind: 'typed', text: typed });
  const transcribed = content?.find((part) => part.type === 'input_audio')?.transcript ?? '';
  return add(transcript, { ...spoken(id, 0), text: transcribed });
}

/**
 * @param {string} id
 * @param {number | null} seconds
 * @returns {CallerTurn}
 */
function spoken(id, seconds) {
  return { who: 'caller', id, kind: 'spoken', text: '', start: 0, seconds };
}

/** @param {Session} session */
function margins(session) {
  const detection = session.audio.input?.turn_detection;
  return { padding: detection?.prefix_padding_ms ?? PADDING, silence: detection?.silence_duration_ms ?? 0 };
}
