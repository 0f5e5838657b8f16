/**
 * Where a call is, and the words for it. Pure: takes the phase so far and one server event, gives the next phase.
 *
 * @import { ServerEvent } from './events.js'
 *
 * @typedef {'ready' | 'asking' | 'connecting' | 'listening' | 'hearing' | 'thinking' | 'speaking' | 'interrupted'
 *   | 'reconnecting' | 'ended' | 'failed'} Phase
 */

/** @type {Record<Phase, { title: string, hint: string }>} */
export const WORDS = {
  ready: { title: 'Ready when you are', hint: 'Start a call and speak; use headphones if you can.' },
  asking: { title: 'Asking for the microphone', hint: 'Your browser wants to know whether this page may listen.' },
  connecting: { title: 'Connecting', hint: 'Finding a way for the sound.' },
  listening: { title: 'Listening', hint: 'Say something. You can interrupt at any time.' },
  hearing: { title: 'You are speaking', hint: 'The answer comes when you pause.' },
  thinking: { title: 'Thinking', hint: 'Working out what to say.' },
  speaking: { title: 'Speaking', hint: 'Speak up to interrupt.' },
  interrupted: { title: 'Interrupted', hint: 'It stopped, and listens to you.' },
  reconnecting: { title: 'Reconnecting', hint: 'The conversation is kept. Nobody hears you until it goes on.' },
  ended: { title: 'Call ended', hint: 'The conversation stays here until you start another.' },
  failed: { title: 'That did not work', hint: '' },
};

/** What listening is called while the microphone is off, and while it waits for the button of push-to-talk. */
export const MUTED = { title: 'You are muted', hint: 'Unmute to be heard.' };
export const PUSH = { title: 'Hold to talk', hint: 'Hold the button or the space bar while you speak.' };
export const HELD = { title: 'You are speaking', hint: 'Let go, and the answer comes.' };

/** Phases in which a call is up: there is something to hang up, mute and type into. */
const IN_CALL = new Set(['listening', 'hearing', 'thinking', 'speaking', 'interrupted', 'reconnecting']);

/** @param {Phase} phase */
export const inCall = (phase) => IN_CALL.has(phase);

/** @param {Phase} phase */
export const starting = (phase) => phase === 'asking' || phase === 'connecting';

/**
 * @param {Phase} phase
 * @param {ServerEvent} event
 * @returns {Phase}
 */
export function follow(phase, event) {
  switch (event.type) {
    case 'session.created': // also after a loss: of an answer that goes on, the next events tell
      return 'listening';
    case 'input_audio_buffer.speech_started':
      return phase === 'speaking' ? 'interrupted' : 'hearing';
    case 'input_audio_buffer.speech_stopped':
    case 'input_audio_buffer.committed':
      return 'thinking';
    case 'response.created':
      return callerSpeaks(phase) ? phase : 'thinking';
    case 'output_audio_buffer.started':
      return callerSpeaks(phase) ? phase : 'speaking';
    case 'output_audio_buffer.stopped':
    case 'output_audio_buffer.cleared':
      return phase === 'speaking' ? 'listening' : phase;
    case 'response.done':
      // A completed answer is still playing, or not even audible yet.
      return phase === 'thinking' && event.response.status !== 'completed' ? 'listening' : phase;
    case 'parley.trace':
      // The end of a turn, also of one that never became audible.
      return phase === 'thinking' ? 'listening' : phase;
    default:
      return phase;
  }
}

/** @param {Phase} phase */
const callerSpeaks = (phase) => phase === 'hearing' || phase === 'interrupted';
