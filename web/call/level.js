/**
 * Loudness of both sides, and the wait between them. Pure: takes RMS levels (1 is full scale) with their times in
 * seconds of one audio clock.
 *
 * @typedef {{ time: number, mic: number, agent: number }} Levels
 */

/** Quieter than this shows as nothing; loud speech into a microphone is near -15 dBFS. */
const QUIET_DB = -54;

/**
 * How much of a meter a level fills, 0 to 1, even in decibels.
 *
 * @param {number} rms
 */
export function fill(rms) {
  const decibels = 20 * Math.log10(Math.max(rms, 1e-6));
  return Math.min(1, Math.max(0, 1 - decibels / QUIET_DB));
}

/** The agent's track is digital silence between answers, so that anything is an onset: -50 dBFS. */
const AUDIBLE = 0.003;
/** Speech stands this far above the room (12 dB), and above what a closed microphone hisses (-46 dBFS). */
const ABOVE_FLOOR = 4;
const SPEECH = 0.005;
/** The floor follows a room that becomes louder by 3 dB a second. */
const FLOOR_RISE = Math.SQRT2;

/**
 * Voice-to-voice latency in this browser: from the last loud moment at the microphone before the server found the turn
 * over, to the first audible moment of the answer's track.
 */
export class Ear {
  #floor = 1;
  #time = 0;
  #spoke = 0;
  /** @type {number | null} */
  #since = null;

  /** The server said that the caller's turn is over: the next sound of the agent answers it. */
  turnEnded() {
    this.#since = this.#spoke;
  }

  /** The caller spoke again, or typed: what comes next is no answer to the turn before. */
  reset() {
    this.#since = null;
  }

  /**
   * @param {Levels} levels
   * @returns {{ from: number, to: number } | null}  The wait in seconds of the audio clock, once, when it ends.
   */
  hear({ time, mic, agent }) {
    const elapsed = Math.max(0, time - this.#time);
    this.#time = time;
    this.#floor = Math.max(1e-5, Math.min(mic, this.#floor * FLOOR_RISE ** elapsed));
    if (mic > Math.max(SPEECH, this.#floor * ABOVE_FLOOR)) this.#spoke = time;
    if (this.#since === null || agent < AUDIBLE) return null;
    const wait = { from: this.#since, to: time };
    this.#since = null;
    return wait;
  }
}
