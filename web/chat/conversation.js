/**
 * A voice chat: one call at a time with all that belongs to it: where it is, what was said, the sound of every turn. Shows
 * nothing itself: a `Screen` is told what changed.
 *
 * @import { Wait } from '../call/ear.js'
 * @import { ServerEvent, Session, TurnDetection } from '../call/events.js'
 * @import { Sound } from '../call/meter.js'
 * @import { Phase } from '../call/phase.js'
 * @import { Problem } from '../call/problems.js'
 * @import { About } from '../call/signalling.js'
 * @import { Sounds } from '../call/sounds.js'
 * @import { Wish } from '../call/call.js'
 * @import { Transcript } from './turns.js'
 *
 * @typedef {{
 *   phase: (phase: Phase) => void,
 *   transcript: (transcript: Transcript) => void,
 *   session: (session: Session) => void,
 *   sound: (sound: Sound) => void,
 *   wait: (wait: Wait) => void,
 *   blocked: () => void,
 * }} Screen  `wait`: an answer was waited for. `blocked`: a click must let sound out.
 *
 * @typedef {{ token: string, transcript: Transcript, muted: boolean, left: number }} Left  A call that was left with its page.
 */

import { Call } from '../call/call.js';
import { PRESSED, RELEASED, typed, update } from '../call/events.js';
import { follow, inCall } from '../call/phase.js';
import { CallError, unexpected } from '../call/problems.js';
import { Recorder } from '../call/recorder.js';
import { heardSoFar, spoke } from './answers.js';
import { Asked } from './asked.js';
import { Captions } from './captions.js';
import { PushToTalk } from './push.js';
import { EMPTY, append, heard, knows, lasted } from './transcript.js';

export class Conversation {
  /** @type {Problem | null} */
  problem = null;
  transcript = EMPTY;
  muted = false;
  push = new PushToTalk({
    pressed: () => this.#pressed(),
    released: (seconds) => this.#released(seconds),
    dropped: () => this.#dropped(),
  });
  /** Where the call is, as its events tell. @type {Phase} */
  #phase = 'ready';
  /** Nothing arrives for the moment. */
  #unstable = false;
  /** @type {Call | null} */
  #call = null;
  #recorder;
  /** @type {string | null} */
  #token = null;
  /** What was pressed to start the call, to be asked once it is up. */
  #first = '';
  #asked = new Asked();
  #captions = new Captions((response, ms) => this.#become(spoke(this.transcript, response, ms)));
  /** @type {TurnDetection | null} */
  #detection = null;
  #voice;
  #screen;
  #sounds;

  /**
   * @param {HTMLAudioElement} voice
   * @param {Sounds} sounds  Gets the sound of every turn, by its call and its name.
   * @param {Screen} screen
   */
  constructor(voice, sounds, screen) {
    this.#voice = voice;
    this.#sounds = sounds;
    this.#screen = screen;
    this.#recorder = this.#newRecorder();
  }

  /** @returns {Phase} */
  get phase() {
    return this.#unstable ? 'reconnecting' : this.#phase;
  }

  /** Whether there is something to hang up. */
  get busy() {
    return this.#call !== null;
  }

  /**
   * Begin a call, and ask `first` in it.
   *
   * @param {About} about
   * @param {Wish} wish
   * @param {string} [first]
   */
  async start(about, wish, first = '') {
    this.#first = first;
    this.#become(EMPTY);
    await this.#begin(about, wish, false);
  }

  /**
   * Go on with a call that was left with its page.
   *
   * @param {About} about
   * @param {Wish} wish
   * @param {Left} left
   */
  async resume(about, wish, left) {
    this.#become(left.transcript);
    this.#captions.resume(heardSoFar(left.transcript));
    const begun = this.#begin(about, { ...wish, resume: left.token }, true);
    this.mute(left.muted);
    await begun;
  }

  hangUp() {
    this.#call?.hangUp();
    this.#over('ended', null);
  }

  /**
   * The page goes away.
   *
   * @param {number} now
   * @returns {Left | null}  What another page needs to go on with the call.
   */
  leave(now) {
    const { transcript, muted } = this;
    const left = this.#call && this.#token ? { token: this.#token, transcript, muted, left: now } : null;
    this.#call?.leave();
    this.#call = null;
    return left;
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    this.#listen();
    this.#enter(this.#phase);
  }

  /** Ask in writing. */
  write(/** @type {string} */ words) {
    this.#call?.turn('begins');
    this.#call?.send(this.#asked.add(typed(words)));
  }

  /** Push-to-talk: the button is down. While nobody would hear, it does nothing. */
  press() {
    if (!this.#unstable) this.push.press();
  }

  /** Change the session of the call that is up. */
  update(/** @type {object} */ session) {
    this.#call?.send(update(session));
  }

  /** Speak into another microphone; CallError tells why not. */
  async listenTo(/** @type {string} */ microphone) {
    await this.#call?.listenTo(microphone);
  }

  /** Whether the caller says when a turn begins and ends, by a button. */
  pushToTalk(/** @type {boolean} */ on) {
    this.push.on = on;
    this.push.held = false;
    this.#listen();
    if (inCall(this.#phase)) this.#detect();
    this.#enter(this.#phase);
  }

  /**
   * @param {About} about
   * @param {Wish} wish
   * @param {boolean} again  It is a call that was left.
   */
  async #begin(about, wish, again) {
    this.problem = null;
    this.muted = this.push.held = false;
    this.#asked = new Asked();
    this.#recorder = this.#newRecorder();
    this.#unstable = again;
    this.#enter(again ? 'listening' : 'asking');
    const call = new Call(this.#voice, about, wish, {
      connecting: () => {
        if (!again) this.#enter('connecting');
      },
      event: (event) => this.#receive(event),
      sound: (sound) => this.#take(sound),
      wait: (wait) => this.#waited(wait),
      blocked: this.#screen.blocked,
      unstable: (waiting) => this.#waver(waiting),
      token: (token) => (this.#token = token),
      lost: (problem) => this.#over('failed', problem),
    });
    this.#call = call;
    this.#listen();
    try {
      await call.start();
    } catch (error) {
      if (this.#call === call) this.#over('failed', error instanceof CallError ? error.problem : unexpected(error));
    }
  }

  /**
   * @param {'ended' | 'failed'} end
   * @param {Problem | null} problem
   */
  #over(end, problem) {
    this.#recorder.end();
    this.#call = null;
    this.#first = '';
    this.push.held = this.#unstable = false;
    this.problem = problem;
    this.#captions.stop();
    this.#enter(end);
  }

  /** @param {ServerEvent} event */
  #receive(event) {
    if (event.type === 'error') console.warn('The server says:', event.error.message);
    if (event.type === 'session.created') this.#greeted(event.session);
    this.#recorder.follow(event);
    const isNew = event.type === 'conversation.item.added' && event.item.role === 'user' && !knows(this.transcript, event.item.id);
    this.#become(append(this.transcript, event));
    if (isNew) this.#become(lasted(this.transcript, event.item.id, this.#asked.arrived()));
    this.#call?.send(this.#asked.follow(event));
    this.#captions.follow(event);
    this.#enter(this.push.held ? 'hearing' : follow(this.#phase, event));
  }

  /** @param {Session} session */
  #greeted(session) {
    this.#detection = session.audio.input?.turn_detection ?? this.#detection ?? { type: 'semantic_vad' };
    this.#screen.session(session);
    this.#unstable = false;
    if (this.transcript.call === session.id) this.#asked.returned();
    this.#listen();
    if (this.push.on) this.#detect();
    if (this.#first) this.write(this.#first);
    this.#first = '';
  }

  /** Tell the server who finds the turns. */
  #detect() {
    this.update({ audio: { input: { turn_detection: this.push.on ? null : this.#detection } } });
  }

  /** The microphone is open when it is neither muted nor waits for the button. */
  #listen() {
    this.#call?.mute(this.push.on ? !this.push.held : this.muted);
  }

  /** The connection wavers, or holds again. */
  #waver(/** @type {boolean} */ waiting) {
    this.#unstable = waiting;
    if (waiting) this.#captions.stop();
    else if (this.#phase === 'speaking') this.#captions.goOn();
    this.#enter(this.#phase);
  }

  #pressed() {
    this.#call?.turn('begins');
    this.#recorder.press();
    this.#call?.send(PRESSED);
    this.#listen();
    this.#enter('hearing');
  }

  /** @param {number} seconds */
  #released(seconds) {
    this.#listen();
    this.#call?.turn('ends');
    this.#call?.send(this.#asked.add(RELEASED, seconds));
    this.#enter('thinking');
  }

  #dropped() {
    this.#listen();
    this.#enter('listening');
  }

  /** @param {Sound} sound */
  #take(sound) {
    this.#recorder.push(sound);
    this.#screen.sound(sound);
  }

  /** @param {Wait} wait */
  #waited(wait) {
    this.#screen.wait(wait);
    this.#become(heard(this.transcript, wait.response, (wait.to - wait.from) * 1000));
  }

  #newRecorder() {
    return new Recorder((what, samples) => {
      this.#sounds.keep(`${this.transcript.call} ${what}`, samples, this.#call?.rate || 24_000);
      this.#screen.transcript(this.transcript);
    });
  }

  /** @param {Phase} phase */
  #enter(phase) {
    this.#phase = phase;
    this.#screen.phase(this.phase);
  }

  /** @param {Transcript} transcript */
  #become(transcript) {
    if (transcript === this.transcript) return;
    this.transcript = transcript;
    this.#screen.transcript(transcript);
  }
}
