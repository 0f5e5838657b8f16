/**
 * Lets the words of an answer follow the voice that says them. Takes server events; tells, many times a second while an
 * answer plays, how much of its sound was heard by now.
 *
 * @import { ServerEvent } from '../call/events.js'
 */

/** From the server's first packet of an answer to the ear: the jitter buffer. */
const PLAYOUT_MS = 100;
const EVERY_MS = 50;

export class Captions {
  #timer = 0;
  #tell;

  /** @param {(response: string, milliseconds: number) => void} tell */
  constructor(tell) {
    this.#tell = tell;
  }

  /** @param {ServerEvent} event */
  follow(event) {
    if (event.type === 'output_audio_buffer.started') {
      const { response_id: response } = event;
      const zero = performance.now() + PLAYOUT_MS;
      this.stop();
      this.#timer = setInterval(() => this.#tell(response, performance.now() - zero), EVERY_MS);
    }
    if (event.type === 'output_audio_buffer.stopped' || event.type === 'output_audio_buffer.cleared') this.stop();
  }

  stop() {
    clearInterval(this.#timer);
  }
}
