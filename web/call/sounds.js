/**
 * The sound of turns, kept in the page and nowhere else, and lent to other pages of the same browser, such as the latency
 * page, as long as this one is open.
 *
 * @typedef {{ samples: Int16Array, rate: number }} Kept
 */

/** Samples that are kept, 20 minutes of speech at 24 kHz; the oldest turns go first. */
const KEPT = 20 * 60 * 24_000;
const CHANNEL = 'parley.sounds';
/** Pages of one browser answer in a few milliseconds. */
const PATIENCE_MS = 300;

export class Sounds {
  /** @type {Map<string, Kept>} */
  #kept = new Map();

  /** @param {string} name */
  has = (name) => this.#kept.has(name);

  /**
   * @param {string} name
   * @param {Int16Array} samples
   * @param {number} rate
   */
  keep(name, samples, rate) {
    if (!samples.length) return;
    this.#kept.set(name, { samples, rate });
    let kept = [...this.#kept.values()].reduce((sum, { samples }) => sum + samples.length, 0);
    for (const [oldest, { samples }] of this.#kept) {
      if (kept <= KEPT) break;
      this.#kept.delete(oldest);
      kept -= samples.length;
    }
  }

  /** @returns {AudioBuffer | null} */
  find(/** @type {string} */ name) {
    const kept = this.#kept.get(name);
    return kept ? buffer(kept) : null;
  }

  /** Answer other pages that ask for a turn. */
  lend() {
    const channel = new BroadcastChannel(CHANNEL);
    channel.onmessage = ({ data }) => {
      const kept = typeof data?.wanted === 'string' && this.#kept.get(data.wanted);
      if (kept) channel.postMessage({ name: data.wanted, ...kept });
    };
  }
}

/**
 * A turn's sound from whatever page of this browser has it.
 *
 * @param {string} name
 * @returns {Promise<AudioBuffer | null>}
 */
export function borrow(name) {
  const channel = new BroadcastChannel(CHANNEL);
  const found = new Promise((/** @type {(found: AudioBuffer | null) => void} */ resolve) => {
    channel.onmessage = ({ data }) => data?.name === name && resolve(buffer(data));
    setTimeout(() => resolve(null), PATIENCE_MS);
  });
  channel.postMessage({ wanted: name });
  return found.finally(() => channel.close());
}

/** @param {Kept} kept */
function buffer({ samples, rate }) {
  const made = new AudioBuffer({ length: samples.length, sampleRate: rate });
  made.copyToChannel(Float32Array.from(samples, (sample) => sample / 32_768), 0);
  return made;
}
