/**
 * Lets the words of an answer follow the voice that says them. Takes server events; tells, many times a second while an
 * answer plays, how much of its sound was heard by now.
 *
 * @import { ServerEvent } from '../call/events.js'
 * @typedef {{ response: string, milliseconds: number }} Place
 */

/** From the server's first packet of an answer to the ear: the jitter buffer. */
const PLAYOUT_MS = 100;
const EVERY_MS = 50;

export class Captions {
  #timer = 0;
  /** @type {Place | null} */
  #place = null;
  #tell;

  /** @param {(response: string, milliseconds: number) => void} tell */
  constructor(tell) {
    this.#tell = tell;
  }

  /** An answer goes on from here if its sound does: that of another page, which went away in it. */
  resume(/** @type {Place | null} */ place) {
    this.#place = place;
  }

  /** @param {ServerEvent} event */
  follow(event) {
    if (event.type === 'output_audio_buffer.started') this.#start(event.response_id);
    if (event.type === 'output_audio_buffer.stopped' || event.type === 'output_audio_buffer.cleared') this.stop();
  }

  /** Nothing is heard for now. */
  stop() {
    clearInterval(this.#timer);
  }

  /** The same answer is heard again. */
  goOn() {
    if (this.#place) this.#start(this.#place.response);
  }

  /** @param {string} response */
  #start(response) {
    this.stop();
    const heard = this.#place?.response === response ? this.#place.milliseconds : 0;
    const zero = performance.now() + PLAYOUT_MS - heard;
    this.#timer = setInterval(() => {
      const milliseconds = performance.now() - zero;
      this.#place = { response, milliseconds };
      this.#tell(response, milliseconds);
    }, EVERY_MS);
  }
}
