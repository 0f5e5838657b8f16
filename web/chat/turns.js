/**
 * The turns of a conversation, as values, and how one of them is changed. Pure; turns that are not changed stay the same
 * objects, so that a view can skip them.
 *
 * @import { Marks, Word } from '../call/events.js'
 *
 * @typedef {{
 *   who: 'caller',
 *   id: string,
 *   kind: 'spoken' | 'typed' | 'silent',
 *   text: string,
 *   start: number,
 *   seconds: number | null,
 * }} CallerTurn  `text` of a spoken turn is a transcript made beside the conversation, empty while there is none. Speech
 * began at `start` ms and lasts `seconds`: null while it goes on, 0 where nobody knows.
 *
 * @typedef {{
 *   who: 'agent',
 *   id: string,
 *   item: string | null,
 *   said: string,
 *   unheard: string,
 *   words: readonly Word[],
 *   shown: number | null,
 *   status: 'thinking' | 'speaking' | 'done' | 'interrupted' | 'failed',
 *   problem: string | null,
 *   marks: Marks | null,
 *   ear: number | null,
 * }} AgentTurn  `id` is the response's. Of `said` the first `shown` characters were heard by now, null for all; `words` tell
 * when. `unheard` are the words that were cut off; `ear` is V2V in ms as this browser measured it.
 *
 * @typedef {CallerTurn | AgentTurn} Turn
 * @typedef {{ call: string, turns: readonly Turn[], padding: number, silence: number }} Transcript  `call` is its id.
 * `padding` and `silence` (ms) lie inside the times of speech events: before the first and after the last syllable.
 */

/** What a turn is called among both sides'. */
export const key = (/** @type {Turn} */ turn) => `${turn.who} ${turn.id}`;

/**
 * @param {Transcript} transcript
 * @param {Turn} turn
 * @returns {Transcript}
 */
export function add(transcript, turn) {
  return { ...transcript, turns: [...transcript.turns, turn] };
}

/**
 * @param {Transcript} transcript
 * @param {string} id
 * @param {(turn: CallerTurn) => CallerTurn} change
 * @returns {Transcript}
 */
export function onCaller(transcript, id, change) {
  const turns = transcript.turns.map((turn) => (turn.who === 'caller' && turn.id === id ? change(turn) : turn));
  return { ...transcript, turns };
}

/**
 * @param {Transcript} transcript
 * @param {(turn: AgentTurn) => boolean} which
 * @param {(turn: AgentTurn) => AgentTurn} change
 * @returns {Transcript}
 */
export function onAgent(transcript, which, change) {
  const turns = transcript.turns.map((turn) => (turn.who === 'agent' && which(turn) ? change(turn) : turn));
  return { ...transcript, turns };
}

/** @returns {(turn: AgentTurn) => boolean} */
export function byId(/** @type {string} */ id) {
  return (turn) => turn.id === id;
}
