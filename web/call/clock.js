/**
 * The server's clock as this browser knows it, from pings. Pure; milliseconds.
 *
 * The answer to a ping tells the server's time somewhere between its sending and its return: in the middle, if both ways
 * took equally long, and at most half the round trip beside it. The quickest of the last pings is believed.
 */

/** Older ones are forgotten, because clocks drift apart by milliseconds in minutes. */
const REMEMBERED = 8;

export class Clock {
  /** @type {{ error: number, offset: number }[]} */
  #pings = [];

  /**
   * @param {number} sent  By our clock.
   * @param {number} server  By the server's, between the two.
   * @param {number} returned  By ours.
   */
  add(sent, server, returned) {
    this.#pings.push({ error: (returned - sent) / 2, offset: server - (sent + returned) / 2 });
    this.#pings = this.#pings.slice(-REMEMBERED);
  }

  /** Mapped times are right within this; infinite before the first ping. */
  get error() {
    return Math.min(Infinity, ...this.#pings.map(({ error }) => error));
  }

  /** The server's time at a moment of ours; NaN before the first ping. */
  atServer(/** @type {number} */ time) {
    return time + (this.#pings.find(({ error }) => error === this.error)?.offset ?? NaN);
  }
}
