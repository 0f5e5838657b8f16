/**
 * Hears turns again: keeps their samples in the page, nowhere else, and plays one at a time.
 *
 * @import { Turn } from './turns.js'
 */

/** Samples that are kept, 20 minutes of speech at 24 kHz; the oldest turns go first. */
const KEPT = 20 * 60 * 24_000;

/** What a turn is called among both sides'. */
export const key = (/** @type {Turn} */ turn) => `${turn.who} ${turn.id}`;

export class Replay {
  /** @type {Map<string, { samples: Int16Array, rate: number }>} */
  #turns = new Map();
  /** @type {AudioContext | null} */
  #context = null;
  #changed;

  /** @param {(playing: string | null) => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /** @param {string} turn */
  has = (turn) => this.#turns.has(turn);

  /**
   * @param {string} turn
   * @param {Int16Array} samples
   * @param {number} rate
   */
  keep(turn, samples, rate) {
    if (!samples.length) return;
    this.#turns.set(turn, { samples, rate });
    let kept = [...this.#turns.values()].reduce((sum, { samples }) => sum + samples.length, 0);
    for (const [oldest, { samples }] of this.#turns) {
      if (kept <= KEPT) break;
      this.#turns.delete(oldest);
      kept -= samples.length;
    }
  }

  /** Play a turn from its beginning, in the place of what is being played. */
  play(/** @type {string} */ turn) {
    this.stop();
    const kept = this.#turns.get(turn);
    if (!kept) return;
    const context = new AudioContext();
    const buffer = context.createBuffer(1, kept.samples.length, kept.rate);
    buffer.copyToChannel(Float32Array.from(kept.samples, (sample) => sample / 32_768), 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.onended = () => this.#context === context && this.stop();
    source.connect(context.destination);
    source.start();
    this.#context = context;
    this.#changed(turn);
  }

  stop() {
    void this.#context?.close();
    this.#context = null;
    this.#changed(null);
  }

  clear() {
    this.stop();
    this.#turns.clear();
  }
}
