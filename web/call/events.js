/**
 * The OpenAI Realtime events (GA shape) that the page reads and sends, as types; agent/realtime/events.py is the other end.
 *
 * Takes and gives JSON texts of the data channel. Times are milliseconds.
 *
 * @typedef {{
 *   id: string,
 *   model: string,
 *   agent?: string,
 *   audio: {
 *     input?: { turn_detection?: TurnDetection | null },
 *     output?: { voice?: string | null },
 *   },
 * }} Session
 *
 * @typedef {{ type?: string, prefix_padding_ms?: number | null, silence_duration_ms?: number | null }} TurnDetection
 *
 * @typedef {{ type: string, text?: string, transcript?: string | null }} Content
 * @typedef {{ id: string, role?: 'system' | 'user' | 'assistant', status: string, content?: Content[] }} Item  A function's
 * call has no role.
 *
 * @typedef {{
 *   id: string,
 *   status: 'in_progress' | 'completed' | 'cancelled' | 'failed' | 'incomplete',
 *   status_details?: { reason?: string | null, error?: { code: string, message: string } | null } | null,
 * }} Response
 *
 * @typedef {Record<string, number>} Marks  When each stage of a turn happened, from its first: `speech_stopped` of a spoken
 * turn.
 *
 * @typedef {{ text: number, ms: number }} Word  Milliseconds of the answer's sound after which `text` of its characters were
 * said.
 *
 * @typedef {(
 *   | { type: 'session.created' | 'session.updated', session: Session }
 *   | { type: 'input_audio_buffer.speech_started', audio_start_ms: number, item_id: string }
 *   | { type: 'input_audio_buffer.speech_stopped', audio_end_ms: number, item_id: string }
 *   | { type: 'input_audio_buffer.dtmf_event_received', event: string }
 *   | { type: 'input_audio_buffer.committed' | 'input_audio_buffer.timeout_triggered', item_id: string }
 *   | { type: 'conversation.item.added' | 'conversation.item.done', item: Item }
 *   | { type: 'conversation.item.input_audio_transcription.delta', item_id: string, delta: string }
 *   | { type: 'conversation.item.input_audio_transcription.completed', item_id: string, transcript: string }
 *   | { type: 'conversation.item.truncated', item_id: string, audio_end_ms: number }
 *   | { type: 'response.created' | 'response.done', response: Response }
 *   | { type: 'response.output_item.added' | 'response.output_item.done', response_id: string, item: Item }
 *   | { type: 'response.output_audio_transcript.delta', response_id: string, item_id: string, delta: string }
 *   | { type: 'response.output_audio_transcript.done', response_id: string, item_id: string, transcript: string }
 *   | { type: 'output_audio_buffer.started' | 'output_audio_buffer.stopped' | 'output_audio_buffer.cleared',
 *       response_id: string }
 *   | { type: 'parley.words', response_id: string, words: Word[] }
 *   | { type: 'parley.trace', response_id: string, status: string, unasked?: boolean, marks: Marks, heard: string,
 *       wait_ms?: number | null }
 *   | { type: 'parley.pong', client_ms: number, server_ms: number }
 *   | { type: 'error', error: { code?: string | null, message: string } }
 * )} ServerEvent
 */

/**
 * One event of the data channel; null for what is no event. Types that this page does not know pass through: readers
 * switch on `type` and leave the rest alone.
 *
 * @param {unknown} text
 * @returns {ServerEvent | null}
 */
export function parse(text) {
  if (typeof text !== 'string') return null;
  try {
    const event = JSON.parse(text);
    return typeof event?.type === 'string' ? event : null;
  } catch {
    return null;
  }
}

/** Stops what is being said; harmless in silence, where a `response.cancel` would be an error. */
export const SILENCE = JSON.stringify({ type: 'output_audio_buffer.clear' });

/**
 * The events that put typed words into the conversation and ask for an answer; whatever is being said stops first.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function typed(text) {
  const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
  return [SILENCE, JSON.stringify({ type: 'conversation.item.create', item }), ANSWER];
}

const ANSWER = JSON.stringify({ type: 'response.create' });

/** Push-to-talk: the button is down. What was heard before it does not count. */
export const PRESSED = [SILENCE, JSON.stringify({ type: 'input_audio_buffer.clear' })];

/** Push-to-talk: the button was let go. */
export const RELEASED = [JSON.stringify({ type: 'input_audio_buffer.commit' }), ANSWER];

/**
 * A telephone's key, where the sound's stream cannot carry it.
 *
 * @param {string} digits
 */
export function keyed(digits) {
  return [JSON.stringify({ type: 'parley.dtmf', digits })];
}

/**
 * Change the session; what is absent stays.
 *
 * @param {object} session
 */
export function update(session) {
  return [JSON.stringify({ type: 'session.update', session: { type: 'realtime', ...session } })];
}
