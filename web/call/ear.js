/**
 * Voice-to-voice latency in this browser: from the last loud moment at the microphone before the turn was over, to the
 * first audible moment of the answer. Pure: takes `Levels` and server events, gives waits in seconds of the audio clock.
 *
 * @import { ServerEvent } from './events.js'
 * @import { Levels } from './level.js'
 *
 * @typedef {{ response: string, from: number, to: number }} Wait  For a response, from the last syllable to its first sound.
 */

/** The agent's track is digital silence between answers, so that anything is an onset: -50 dBFS. */
const AUDIBLE = 0.003;
/** Speech stands this far above the room (12 dB), and above what a closed microphone hisses (-46 dBFS). */
const ABOVE_FLOOR = 4;
const SPEECH = 0.005;
/** The floor follows a room that becomes louder by 3 dB a second. */
const FLOOR_RISE = Math.SQRT2;

/** The caller does something else than to wait: speaks again, or presses a key. */
const BEGUN = new Set(['input_audio_buffer.speech_started', 'input_audio_buffer.dtmf_event_received']);

export class Ear {
  #floor = 1;
  #time = 0;
  #spoke = 0;
  /** @type {number | null} */
  #since = null;
  /** The newest: the next sound of the agent belongs to it. */
  #response = '';

  /** @param {ServerEvent} event */
  follow(event) {
    if (BEGUN.has(event.type)) this.reset();
    if (event.type === 'input_audio_buffer.speech_stopped') this.turnEnded();
    if (event.type === 'response.created') this.#response = event.response.id;
  }

  /** The caller's turn is over: the next sound of the agent answers it. */
  turnEnded() {
    this.#since = this.#spoke;
  }

  /** What comes next is no answer to the turn before. */
  reset() {
    this.#since = null;
  }

  /**
   * @param {Levels} levels
   * @param {number} length  Seconds that they are of, from their time on.
   * @returns {Wait | null}  Once, when it ends.
   */
  hear({ time, mic, agent }, length) {
    const elapsed = Math.max(0, time - this.#time);
    this.#time = time;
    this.#floor = Math.max(1e-5, Math.min(mic, this.#floor * FLOOR_RISE ** elapsed));
    if (mic > Math.max(SPEECH, this.#floor * ABOVE_FLOOR)) this.#spoke = time + length;
    if (this.#since === null || agent < AUDIBLE) return null;
    const wait = { response: this.#response, from: this.#since, to: time };
    this.#since = null;
    return wait;
  }
}
