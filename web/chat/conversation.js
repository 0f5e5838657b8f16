/**
 * A voice chat: one call at a time with all that belongs to it: where it is, what was said, the sound of every turn. Shows
 * nothing itself: a `Screen` is told what changed.
 *
 * @import { ServerEvent, Session, TurnDetection } from '../call/events.js'
 * @import { Sound } from '../call/meter.js'
 * @import { Phase } from '../call/phase.js'
 * @import { Problem } from '../call/problems.js'
 * @import { About } from '../call/signalling.js'
 * @import { Wish } from '../call/call.js'
 * @import { Transcript } from './turns.js'
 *
 * @typedef {{
 *   phase: (phase: Phase) => void,
 *   transcript: (transcript: Transcript) => void,
 *   session: (session: Session) => void,
 *   sound: (sound: Sound) => void,
 *   wait: (wait: { from: number, to: number }) => void,
 *   blocked: () => void,
 * }} Screen  `wait`: an answer was waited for, in seconds of the sound's clock. `blocked`: a click must let sound out.
 *
 * @typedef {{ token: string, transcript: Transcript, muted: boolean, left: number }} Left  A call that was left with its page.
 */

import { Call } from '../call/call.js';
import { PRESSED, RELEASED, typed, update } from '../call/events.js';
import { Ear } from '../call/level.js';
import { follow, inCall } from '../call/phase.js';
import { CallError, unexpected } from '../call/problems.js';
import { spoke } from './answers.js';
import { Captions } from './captions.js';
import { PushToTalk } from './push.js';
import { Recorder } from './recorder.js';
import { EMPTY, append, heard, lasted } from './transcript.js';

export class Conversation {
  /** @type {Phase} */
  phase = 'ready';
  /** @type {Problem | null} */
  problem = null;
  transcript = EMPTY;
  muted = false;
  push = new PushToTalk({
    pressed: () => this.#pressed(),
    released: (seconds) => this.#released(seconds),
    dropped: () => this.#dropped(),
  });
  /** @type {Call | null} */
  #call = null;
  #ear = new Ear();
  #recorder;
  /** @type {string | null} */
  #token = null;
  /** The response that the next sound of the agent belongs to. */
  #latest = '';
  /** What was pressed to start the call, to be asked once it is up. */
  #first = '';
  /** Seconds for which the button was held, of a turn that the server has not told of yet. */
  #held = 0;
  #captions = new Captions((response, ms) => this.#become(spoke(this.transcript, response, ms)));
  /** @type {TurnDetection | null} */
  #detection = null;
  #voice;
  #screen;
  #replay;

  /**
   * @param {HTMLAudioElement} voice
   * @param {import('./replay.js').Replay} replay  Gets the sound of every turn.
   * @param {Screen} screen
   */
  constructor(voice, replay, screen) {
    this.#voice = voice;
    this.#replay = replay;
    this.#screen = screen;
    this.#recorder = this.#newRecorder();
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
    this.#replay.clear();
    this.#become(EMPTY);
    await this.#begin(about, wish, 'asking');
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
    const begun = this.#begin(about, { ...wish, resume: left.token }, 'reconnecting');
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
    this.#enter(this.phase);
  }

  /** Ask in writing. */
  write(/** @type {string} */ words) {
    this.#ear.reset();
    this.#call?.send(typed(words));
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
    if (inCall(this.phase)) this.#detect();
    this.#enter(this.phase);
  }

  /**
   * @param {About} about
   * @param {Wish} wish
   * @param {Phase} phase
   */
  async #begin(about, wish, phase) {
    this.problem = null;
    this.muted = this.push.held = false;
    this.#ear = new Ear();
    this.#recorder = this.#newRecorder();
    this.#enter(phase);
    const call = new Call(this.#voice, about, wish, {
      connecting: () => phase === 'asking' && this.#enter('connecting'),
      event: (event) => this.#receive(event),
      sound: (sound) => this.#measured(sound),
      blocked: this.#screen.blocked,
      unstable: (waiting) => this.#enter(waiting ? 'reconnecting' : 'listening'),
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
    this.push.held = false;
    this.problem = problem;
    this.#captions.stop();
    this.#enter(end);
  }

  /** @param {ServerEvent} event */
  #receive(event) {
    if (event.type === 'error') console.warn('The server says:', event.error.message);
    if (event.type === 'session.created') this.#greeted(event.session);
    if (event.type === 'input_audio_buffer.speech_started') this.#ear.reset();
    if (event.type === 'input_audio_buffer.speech_stopped') this.#ear.turnEnded();
    if (event.type === 'response.created') this.#latest = event.response.id;
    this.#recorder.follow(event);
    this.#become(append(this.transcript, event));
    if (event.type === 'conversation.item.added' && this.#held) this.#tellLength(event.item.id);
    this.#captions.follow(event);
    this.#enter(this.push.held ? 'hearing' : follow(this.phase, event));
  }

  /** @param {Session} session */
  #greeted(session) {
    this.#detection = session.audio.input?.turn_detection ?? this.#detection ?? { type: 'semantic_vad' };
    this.#screen.session(session);
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

  #pressed() {
    this.#ear.reset();
    this.#recorder.press();
    this.#call?.send(PRESSED);
    this.#listen();
    this.#enter('hearing');
  }

  /** @param {number} seconds */
  #released(seconds) {
    this.#held = seconds;
    this.#listen();
    this.#ear.turnEnded();
    this.#call?.send(RELEASED);
  }

  #dropped() {
    this.#listen();
    this.#enter('listening');
  }

  /** @param {string} item */
  #tellLength(item) {
    this.#become(lasted(this.transcript, item, this.#held));
    this.#held = 0;
  }

  /** @param {Sound} sound */
  #measured(sound) {
    this.#recorder.push(sound);
    this.#screen.sound(sound);
    const wait = this.#ear.hear(sound);
    if (!wait) return;
    this.#screen.wait(wait);
    void this.#call?.report(this.#latest, wait);
    this.#become(heard(this.transcript, this.#latest, (wait.to - wait.from) * 1000));
  }

  #newRecorder() {
    return new Recorder((turn, samples) => {
      this.#replay.keep(turn, samples, this.#call?.rate ?? 24_000);
      this.#screen.transcript(this.transcript);
    });
  }

  /** @param {Phase} phase */
  #enter(phase) {
    this.phase = phase;
    this.#screen.phase(phase);
  }

  /** @param {Transcript} transcript */
  #become(transcript) {
    if (transcript === this.transcript) return;
    this.transcript = transcript;
    this.#screen.transcript(transcript);
  }
}
