/**
 * A telephone: one line, one call at a time, with hold and keys. Shows nothing itself: `changed` is called whenever
 * something did.
 *
 * @import { CodecName } from '../call/codecs.js'
 * @import { ServerEvent, TurnDetection } from '../call/events.js'
 * @import { Problem } from '../call/problems.js'
 * @import { About } from '../call/signalling.js'
 * @import { Sounds } from '../call/sounds.js'
 *
 * @typedef {'idle' | 'asking' | 'ringing' | 'talking' | 'reconnecting' | 'ended' | 'failed'} State
 *
 * @typedef {{
 *   token: string | null,
 *   number: string,
 *   keys: string,
 *   codec: CodecName,
 *   muted: boolean,
 *   held: boolean,
 *   detection: TurnDetection | null,
 *   lasted: number,
 *   left: number,
 * }} Left  A call that was left with its page: what another one goes on with, where the server keeps the call. It had lasted so
 * many milliseconds; `left` is the date.
 */

import { Call } from '../call/call.js';
import { SILENCE, keyed, update } from '../call/events.js';
import { CallError, unexpected } from '../call/problems.js';
import { Recorder } from '../call/recorder.js';
import { dialled, reached } from './line.js';
import { Tones } from './tones.js';

/** It rings at least so long: nobody answers before the first ring. */
const RING_MS = 1000;

/** @type {Problem} */
const NOT_IN_SERVICE = { title: 'Not in service', remedy: 'Nobody has this number. Press one of the names, or dial 0.' };

/** @type {Problem} */
const LEFT_TOO_LONG = { title: 'That call is over', remedy: 'It ended while its page was away. Call again.' };

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
  /** What another page could go on with. @type {string | null} */
  #token = null;
  /** @type {TurnDetection | null} */
  #detection = null;
  #id = '';
  #recorder;
  #tones = new Tones();
  #voice;
  #sounds;
  #changed;
  #blocked;

  /**
   * @param {HTMLAudioElement} voice  Plays the agent.
   * @param {Sounds} sounds  Gets the sound of every turn, by its call and its name.
   * @param {() => void} changed
   * @param {() => void} blocked  The browser wants a click before it plays sound.
   */
  constructor(voice, sounds, changed, blocked) {
    this.#voice = voice;
    this.#sounds = sounds;
    this.#recorder = this.#newRecorder();
    this.#changed = changed;
    this.#blocked = blocked;
  }

  /** Whether there is something to hang up. */
  get busy() {
    return ['asking', 'ringing', 'talking', 'reconnecting'].includes(this.state);
  }

  /** A key: part of the number before a call, a sign to the agent in one. */
  press(/** @type {string} */ key) {
    this.#tones.key(key);
    if (!this.busy) {
      this.number = dialled(this.state === 'idle' ? this.number : '', key);
      this.#become('idle');
    } else if (this.state === 'talking' && !this.held) {
      this.keys += key;
      this.#call?.turn('begins');
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
    const call = this.#newCall(about, agent.id ? { agent: agent.id } : {});
    this.#become('asking');
    await this.#start(call);
  }

  /**
   * Go on with a call that was left with its page, if the server still keeps it.
   *
   * @param {About} about
   * @param {Left} left
   * @param {number} now  The date, as `left` has it.
   */
  async resume(about, left, now) {
    const { token, number, keys, codec, muted, held, detection } = left;
    Object.assign(this, { number, keys, codec, muted, held });
    if (!token || now - left.left > 1000 * about.resume_seconds) {
      this.#fail(LEFT_TOO_LONG);
      return;
    }
    this.#detection = detection;
    this.#voice.muted = held;
    this.since = performance.now() - left.lasted - (now - left.left);
    const call = this.#newCall(about, { resume: token });
    call.mute(muted || held);
    this.#become('reconnecting');
    await this.#start(call);
  }

  /**
   * The page goes away.
   *
   * @param {number} now
   * @returns {Left | null}  What another page needs to go on with the call.
   */
  leave(now) {
    if (!this.#call || this.state === 'asking' || this.state === 'ringing') {
      this.#call?.hangUp();
      return null;
    }
    const { number, keys, codec, muted, held } = this;
    this.#call.leave();
    const lasted = performance.now() - this.since;
    return { token: this.#token, number, keys, codec, muted, held, detection: this.#detection, lasted, left: now };
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

  /**
   * @param {About} about
   * @param {import('../call/call.js').Wish} wish
   */
  #newCall(about, wish) {
    this.problem = null;
    this.#recorder = this.#newRecorder();
    this.#call = new Call(this.#voice, about, { ...wish, codec: this.codec }, {
      connecting: () => this.#ring(),
      event: (event) => this.#receive(event),
      sound: (sound) => this.#recorder.push(sound),
      wait: () => {},
      blocked: this.#blocked,
      unstable: (waiting) => this.#become(waiting ? 'reconnecting' : 'talking'),
      token: (token) => (this.#token = token),
      lost: (problem) => this.#fail(problem),
    });
    return this.#call;
  }

  /** The microphone is ours: ring at the other end, unless a call goes on. */
  async #ring() {
    if (this.state !== 'asking') return;
    this.#tones.ring();
    this.#become('ringing');
    await new Promise((resolve) => setTimeout(resolve, RING_MS));
  }

  #newRecorder() {
    return new Recorder((what, samples) => this.#sounds.keep(`${this.#id} ${what}`, samples, this.#call?.rate || 24_000));
  }

  /** @param {Call} call */
  async #start(call) {
    try {
      await call.start();
    } catch (error) {
      if (this.#call === call) this.#fail(error instanceof CallError ? error.problem : unexpected(error));
    }
  }

  /** @param {ServerEvent} event */
  #receive(event) {
    this.#recorder.follow(event);
    if (event.type === 'error') console.warn('The server says:', event.error.message);
    if (event.type !== 'session.created') return;
    this.#tones.stop();
    this.#id = event.session.id;
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
    this.#recorder.end();
    this.#call = this.#token = null;
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
