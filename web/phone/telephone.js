/**
 * A telephone: one line, one call at a time, with hold and keys. Shows nothing itself: `changed` is called whenever
 * something did.
 *
 * @import { CodecName } from '../call/codecs.js'
 * @import { ServerEvent, TurnDetection } from '../call/events.js'
 * @import { Problem } from '../call/problems.js'
 * @import { About } from '../call/signalling.js'
 *
 * @typedef {'idle' | 'ringing' | 'talking' | 'reconnecting' | 'ended' | 'failed'} State
 */

import { Call } from '../call/call.js';
import { SILENCE, keyed, update } from '../call/events.js';
import { CallError, unexpected } from '../call/problems.js';
import { dialled, reached } from './line.js';
import { Tones } from './tones.js';

/** It rings at least so long: nobody answers before the first ring. */
const RING_MS = 1000;

/** @type {Problem} */
const NOT_IN_SERVICE = { title: 'Not in service', remedy: 'Nobody has this number. Press one of the names, or dial 0.' };

export class Telephone {
  /** @type {State} */
  state = 'idle';
  /** @type {Problem | null} */
  problem = null;
  number = '';
  /** Keys that were pressed during the call. */
  keys = '';
  muted = false;
  held = false;
  /** @type {CodecName} */
  codec = 'pcmu';
  /** When the call was answered, ms of the page's clock. */
  since = 0;
  /** @type {Call | null} */
  #call = null;
  /** @type {TurnDetection | null} */
  #detection = null;
  #tones = new Tones();
  #voice;
  #changed;
  #blocked;

  /**
   * @param {HTMLAudioElement} voice  Plays the agent.
   * @param {() => void} changed
   * @param {() => void} blocked  The browser wants a click before it plays sound.
   */
  constructor(voice, changed, blocked) {
    this.#voice = voice;
    this.#changed = changed;
    this.#blocked = blocked;
  }

  /** Whether there is something to hang up. */
  get busy() {
    return this.state === 'ringing' || this.state === 'talking' || this.state === 'reconnecting';
  }

  /** A key: part of the number before a call, a sign to the agent in one. */
  press(/** @type {string} */ key) {
    this.#tones.key(key);
    if (!this.busy) {
      this.number = dialled(this.state === 'idle' ? this.number : '', key);
      this.#become('idle');
    } else if (this.state === 'talking' && !this.held) {
      this.keys += key;
      if (!this.#call?.press(key)) this.#call?.send(keyed(key));
      this.#changed();
    }
  }

  /** Take back a key of the number. */
  erase() {
    if (this.busy) return;
    this.number = this.number.slice(0, -1);
    this.#become('idle');
  }

  /**
   * @param {About} about
   * @param {string} number
   */
  async dial(about, number) {
    const agent = reached(about.agents, number);
    this.number = number;
    this.keys = '';
    this.muted = this.held = false;
    if (!agent) {
      this.#fail(NOT_IN_SERVICE);
      return;
    }
    if (agent.codec) this.codec = /** @type {CodecName} */ (agent.codec);
    this.problem = null;
    const call = new Call(this.#voice, about, { ...(agent.id && { agent: agent.id }), codec: this.codec }, {
      connecting: () => {},
      event: (event) => this.#receive(event),
      sound: () => {},
      blocked: this.#blocked,
      unstable: (waiting) => this.#become(waiting ? 'reconnecting' : 'talking'),
      token: () => {},
      lost: (problem) => this.#fail(problem),
    });
    this.#call = call;
    this.#tones.ring();
    this.#become('ringing');
    await new Promise((resolve) => setTimeout(resolve, RING_MS));
    if (this.#call !== call) return;
    try {
      await call.start();
    } catch (error) {
      if (this.#call === call) this.#fail(error instanceof CallError ? error.problem : unexpected(error));
    }
  }

  hangUp() {
    this.#call?.hangUp();
    this.#over('ended');
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    this.#call?.mute(muted || this.held);
    this.#changed();
  }

  /** On hold neither hears the other, and the agent waits. */
  hold(/** @type {boolean} */ held) {
    this.held = held;
    this.#call?.mute(held || this.muted);
    this.#voice.muted = held;
    const detection = held ? null : this.#detection;
    this.#call?.send([...(held ? [SILENCE] : []), ...update({ audio: { input: { turn_detection: detection } } })]);
    this.#changed();
  }

  /** Another codec, at once when a call is up. */
  async speakThrough(/** @type {CodecName} */ codec) {
    this.codec = codec;
    this.#changed();
    await this.#call?.speakThrough(codec);
  }

  /** @param {ServerEvent} event */
  #receive(event) {
    if (event.type === 'error') console.warn('The server says:', event.error.message);
    if (event.type !== 'session.created') return;
    this.#tones.stop();
    this.#detection = event.session.audio.input?.turn_detection ?? this.#detection;
    if (this.state === 'ringing') this.since = performance.now();
    this.#become('talking');
  }

  /** @param {Problem} problem */
  #fail(problem) {
    this.problem = problem;
    this.#over('failed');
    this.#tones.busy();
  }

  /** @param {'ended' | 'failed'} end */
  #over(end) {
    this.#call = null;
    this.#tones.stop();
    this.#voice.muted = false;
    this.held = this.muted = false;
    this.#become(end);
  }

  /** @param {State} state */
  #become(state) {
    this.state = state;
    if (state === 'idle') this.problem = null;
    this.#changed();
  }
}
