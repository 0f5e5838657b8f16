/**
 * Turns that were typed or ended by hand: each is kept until the server tells of it, because it may be lost on its way with
 * its connection. Pure: takes server events, gives what is to be sent again.
 *
 * @import { ServerEvent } from '../call/events.js'
 *
 * @typedef {{ events: string[], seconds: number }} Request  The events that ask, and for how long was spoken; 0: it was typed.
 */

export class Asked {
  /** The oldest first. @type {Request[]} */
  #waiting = [];
  #returned = false;

  /**
   * @param {string[]} events
   * @param {number} [seconds]
   * @returns {string[]}  To send.
   */
  add(events, seconds = 0) {
    this.#waiting.push({ events, seconds });
    return events;
  }

  /** The call was come back to: what of it had arrived is told next, and then pings are answered. */
  returned() {
    this.#returned = true;
  }

  /**
   * What is to be sent again, now that the server has told all it knows.
   *
   * @param {ServerEvent} event
   * @returns {string[]}
   */
  follow(event) {
    if (event.type === 'error' && event.error.code === 'input_audio_buffer_commit_empty') this.#waiting.shift();
    if (event.type !== 'parley.pong' || !this.#returned) return [];
    this.#returned = false;
    return this.#waiting.flatMap(({ events }) => events);
  }

  /** A turn of the caller's arrived that nothing else had told of. Gives for how long it was spoken; 0: it was typed. */
  arrived() {
    return this.#waiting.shift()?.seconds ?? 0;
  }
}
