/**
 * The sounds that a telephone makes itself: keys, ringing at the other end, and the tone of a call that failed. They go to
 * the ear only, never into the call.
 */

import { frequencies } from './line.js';

/** Hz, and seconds of sound and silence, of the American network's call progress tones (ITU-T E.180). */
const RINGING = { pair: [440, 480], on: 2, off: 4 };
const BUSY = { pair: [480, 620], on: 0.5, off: 0.5 };
const KEY_S = 0.12;
/** Quiet beside speech. */
const LEVEL = 0.04;
/** Seconds in which a tone comes and goes, so that it does not click. */
const EDGE_S = 0.01;

export class Tones {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {(() => void) | null} */
  #stop = null;

  key(/** @type {string} */ key) {
    this.#tone(frequencies(key), 0, KEY_S);
  }

  ring() {
    this.stop();
    const { pair, on, off } = RINGING;
    const stops = Array.from({ length: 10 }, (_, time) => this.#tone(pair, time * (on + off), on));
    this.#stop = () => stops.forEach((stop) => stop());
  }

  busy() {
    this.stop();
    const { pair, on, off } = BUSY;
    for (const time of [0, 1, 2]) this.#tone(pair, time * (on + off), on);
  }

  stop() {
    this.#stop?.();
    this.#stop = null;
  }

  /**
   * @param {number[]} pair
   * @param {number} delay
   * @param {number} seconds
   * @returns {() => void}  Ends it early.
   */
  #tone(pair, delay, seconds) {
    const context = (this.#context ??= new AudioContext());
    void context.resume();
    const start = context.currentTime + delay;
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setTargetAtTime(LEVEL, start, EDGE_S / 3);
    gain.gain.setTargetAtTime(0, start + seconds - EDGE_S, EDGE_S / 3);
    gain.connect(context.destination);
    const oscillators = pair.map((frequency) => new OscillatorNode(context, { frequency }));
    for (const oscillator of oscillators) {
      oscillator.connect(gain);
      oscillator.start(start);
      oscillator.stop(start + seconds);
    }
    return () => {
      gain.gain.cancelScheduledValues(0);
      gain.gain.setTargetAtTime(0, context.currentTime, EDGE_S / 3);
      oscillators.forEach((oscillator) => oscillator.stop(context.currentTime + EDGE_S));
    };
  }
}
