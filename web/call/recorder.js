/**
 * Cuts a call's sound into turns as its events tell where they begin and end. Takes `Sound` and server events, gives the
 * samples of each once it is whole: what the caller said, what was heard of an answer, and of both together with the wait
 * between them.
 *
 * @import { ServerEvent } from './events.js'
 * @import { Sound } from './meter.js'
 */

import { Tape } from './tape.js';

/** Seconds that an event comes later than the sound it tells of, and that the agent's sound comes later than its event. */
const LATE_S = 0.15;
const BUFFERED_S = 0.4;

export class Recorder {
  #tape = new Tape();
  #start = 0;
  #pressed = 0;
  /** Where the caller's turn begins that the next answer is to. @type {number | null} */
  #asked = null;
  /** @type {{ id: string, from: number, to: number } | null} */
  #answer = null;
  #keep;

  /** @param {(what: string, samples: Int16Array) => void} keep  `caller` and an item, `agent` or `both` and a response. */
  constructor(keep) {
    this.#keep = keep;
  }

  /** @param {Sound} sound */
  push(sound) {
    this.#tape.push(sound);
    if (this.#answer && sound.time > this.#answer.to) this.end();
  }

  /** The caller began a turn by hand. */
  press() {
    this.#pressed = this.#tape.time;
  }

  /** @param {ServerEvent} event */
  follow(event) {
    switch (event.type) {
      case 'input_audio_buffer.speech_started':
        this.#start = event.audio_start_ms;
        break;
      case 'input_audio_buffer.speech_stopped': {
        const seconds = (event.audio_end_ms - this.#start) / 1000;
        this.#caller(event.item_id, this.#tape.time - seconds - LATE_S);
        break;
      }
      case 'input_audio_buffer.committed':
        if (this.#pressed) this.#caller(event.item_id, this.#pressed);
        this.#pressed = 0;
        break;
      case 'output_audio_buffer.started':
        this.end();
        this.#answer = { id: event.response_id, from: this.#tape.time, to: Infinity };
        break;
      case 'output_audio_buffer.stopped':
      case 'output_audio_buffer.cleared':
        if (this.#answer?.id === event.response_id) this.#answer.to = this.#tape.time + BUFFERED_S;
        break;
      default:
    }
  }

  /** No more sound comes: keep what was heard of the answer. */
  end() {
    if (!this.#answer) return;
    const { id, from, to } = this.#answer;
    this.#keep(`agent ${id}`, this.#tape.cut('agent', from, to));
    this.#keep(`both ${id}`, this.#tape.mix(this.#asked ?? from, to));
    this.#answer = this.#asked = null;
  }

  /**
   * @param {string} item
   * @param {number} from
   */
  #caller(item, from) {
    this.#asked = from;
    this.#keep(`caller ${item}`, this.#tape.cut('mic', from, this.#tape.time));
  }
}
