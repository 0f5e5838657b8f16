/**
 * The last minutes of both sides of a call, to hear a turn again. Pure: takes `Sound`, gives samples between two times of
 * the audio clock, in seconds.
 *
 * @import { Sound } from './meter.js'
 */

/** Longest turn that can be heard again whole. */
const KEEP_S = 120;

export class Tape {
  /** @type {Sound[]} */
  #sounds = [];

  /** The newest time; 0 before the first sound. */
  get time() {
    return this.#sounds.at(-1)?.time ?? 0;
  }

  /** @param {Sound} sound */
  push(sound) {
    this.#sounds.push(sound);
    const oldest = this.#sounds[0];
    // A tenth at a time: to move the whole array a hundred times a second is work for nothing.
    if (oldest && sound.time - oldest.time > KEEP_S * 1.1) {
      this.#sounds = this.#sounds.filter(({ time }) => time > sound.time - KEEP_S);
    }
  }

  /**
   * Both sides as they sounded together.
   *
   * @param {number} from
   * @param {number} to
   */
  mix(from, to) {
    const agent = this.cut('agent', from, to);
    return this.cut('mic', from, to).map((sample, at) => Math.max(-32_768, Math.min(32_767, sample + (agent[at] ?? 0))));
  }

  /**
   * @param {'mic' | 'agent'} side
   * @param {number} from
   * @param {number} to
   * @returns {Int16Array}  What is still there of it.
   */
  cut(side, from, to) {
    const parts = this.#sounds.filter(({ time }) => time >= from && time <= to).map(({ samples }) => samples[side]);
    const cut = new Int16Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      cut.set(part, at);
      at += part.length;
    }
    return cut;
  }
}
