/**
 * One call, from the microphone to the hang-up. It outlives its connection: when the network goes, it comes back to the
 * same conversation with the server's token. Takes the callbacks of a `Listener`.
 *
 * @import { CodecName } from './codecs.js'
 * @import { Wait } from './ear.js'
 * @import { ServerEvent } from './events.js'
 * @import { Sound } from './meter.js'
 * @import { Problem } from './problems.js'
 * @import { About, Request } from './signalling.js'
 *
 * @typedef {{
 *   connecting: () => void | Promise<void>,
 *   event: (event: ServerEvent) => void,
 *   sound: (sound: Sound) => void,
 *   wait: (wait: Wait) => void,
 *   blocked: () => void,
 *   unstable: (waiting: boolean) => void,
 *   token: (token: string | null) => void,
 *   lost: (problem: Problem) => void,
 * }} Listener  `connecting`: the microphone is ours; what it returns is waited for. `wait`: an answer was waited for, and is heard. `blocked`: the browser
 * wants a click before it plays sound. `unstable`: nothing arrives for the moment, or it does again. `token`: what another page could go on with, or null once
 * there is no more. `lost`: the call is over, not by us.
 *
 * @typedef {Request & {
 *   microphone?: string | undefined,
 *   codec?: CodecName | null,
 *   resume?: string | undefined,
 * }} Wish  `microphone`: a device id. `resume`: the token of a call to go on with.
 */

import { Connection } from './connection.js';
import { Ear } from './ear.js';
import { Meter } from './meter.js';
import { openMicrophone } from './microphone.js';
import { Reporter } from './report.js';
import { CallError, ENDED_BY_SERVER, LOST, UNREACHABLE, microphone, unexpected } from './problems.js';

/** Between two tries to come back. */
const RETRY_MS = 1000;

export class Call {
  #closed = false;
  #muted = false;
  #restarting = false;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {MediaStream | null} */
  #mic = null;
  /** @type {Meter | null} */
  #meter = null;
  #ear = new Ear();
  #reporter = new Reporter();
  /** @type {string | null} */
  #token;
  /** It was up once: before, there is nothing to come back to. */
  #begun;
  #voice;
  #about;
  #wish;
  #listener;

  /**
   * @param {HTMLAudioElement} voice  Plays the agent.
   * @param {About} about  The server's.
   * @param {Wish} wish
   * @param {Listener} listener
   */
  constructor(voice, about, wish, listener) {
    this.#voice = voice;
    this.#about = about;
    this.#wish = wish;
    this.#listener = listener;
    this.#token = wish.resume ?? null;
    this.#begun = this.#token !== null;
  }

  /** Samples per second of `Sound`; 0 while nothing is measured. */
  get rate() {
    return this.#meter?.rate ?? 0;
  }

  /** Ask for the microphone and connect; CallError tells why that failed. Resolves early when hung up meanwhile. */
  async start() {
    try {
      await this.listenTo(this.#wish.microphone);
      if (this.#closed) return;
      await this.#listener.connecting();
      if (this.#closed) return;
      // Meters are a comfort: a browser without worklets calls without them.
      this.#meter = await Meter.open((sound) => this.#hear(sound)).catch(() => null);
      if (this.#mic) this.#meter?.hear('mic', this.#mic);
      await this.#connect();
    } catch (error) {
      if (this.#closed) return;
      this.hangUp();
      throw error;
    }
  }

  /** Speak into another microphone, at once when the call is up. Raises CallError when it does not start. */
  async listenTo(/** @type {string | undefined} */ device) {
    const mic = await openMicrophone(device);
    const old = this.#mic;
    this.#mic = mic;
    old?.getTracks().forEach((track) => track.stop());
    if (this.#closed) mic.getTracks().forEach((track) => track.stop());
    for (const track of mic.getAudioTracks()) {
      track.onended = () => this.#lose(microphone('NotReadableError'));
      track.enabled = !this.#muted;
    }
    this.#meter?.hear('mic', mic);
    await this.#connection?.replace(mic);
  }

  /** @param {string[]} events  JSON texts. */
  send(events) {
    this.#connection?.send(events);
  }

  /** A turn that the server does not find by itself begins, typed or by a button; of one that was spoken, it ends. */
  turn(/** @type {'begins' | 'ends'} */ what) {
    if (what === 'begins') this.#ear.reset();
    else this.#ear.turnEnded();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.#muted = muted;
    this.#mic?.getAudioTracks().forEach((track) => (track.enabled = !muted));
  }

  /** Send a telephone's keys in the sound's stream; false where the ends cannot. */
  press(/** @type {string} */ keys) {
    return this.#connection?.press(keys) ?? false;
  }

  /** Go on over another codec: the same conversation on a new connection. False where the server does not keep calls. */
  async speakThrough(/** @type {CodecName} */ codec) {
    this.#wish = { ...this.#wish, codec };
    if (!this.#token || !this.#connection) return false;
    this.#connection.close();
    await this.#comeBack(ENDED_BY_SERVER);
    return !this.#closed;
  }

  /** End the call; safe at any time. */
  hangUp() {
    if (this.#closed) return;
    this.#listener.token(null);
    this.#connection?.hangUp();
    this.#release();
  }

  /** The page goes away, perhaps only to come back: leave the call to its token where there is one. */
  leave() {
    if (!this.#token) this.hangUp();
    else this.#release();
  }

  #release() {
    this.#closed = true;
    this.#connection?.close();
    this.#meter?.close();
    this.#mic?.getTracks().forEach((track) => track.stop());
    this.#voice.srcObject = null;
  }

  async #connect() {
    if (!this.#mic) return;
    const connection = new Connection(this.#mic, this.#about.ice_servers, this.#wish.codec ?? null, {
      event: (event) => this.#receive(event),
      voice: (agent) => this.#play(agent),
      unstable: (waiting) => void this.#wait(connection, waiting),
      lost: (problem) => (this.#begun ? void this.#comeBack(problem) : this.#lose(problem)),
    });
    this.#connection = connection;
    this.#token = await connection.open(this.#wish, this.#token ?? 'new');
    if (!this.#closed) this.#listener.token(this.#token);
  }

  /**
   * Nothing arrives: ask for another path, and for another connection where the server has given this one up.
   *
   * @param {Connection} connection
   * @param {boolean} waiting
   */
  async #wait(connection, waiting) {
    this.#listener.unstable(waiting);
    if (this.#restarting) return;
    this.#restarting = true;
    while (this.#token && connection.waiting) {
      try {
        await connection.restart(this.#wish, this.#token);
      } catch (error) {
        const unreachable = error instanceof CallError && error.problem === UNREACHABLE;
        if (connection.waiting && !unreachable) {
          connection.close();
          await this.#comeBack(LOST);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    this.#restarting = false;
  }

  /**
   * The connection is gone: try to go on with the call, as long as the server keeps it.
   *
   * @param {Problem} problem  What to say when that fails.
   */
  async #comeBack(problem) {
    const end = performance.now() + 1000 * this.#about.resume_seconds;
    if (this.#token) this.#listener.unstable(true);
    while (this.#token && !this.#closed && performance.now() < end) {
      try {
        await this.#connect();
        return;
      } catch (error) {
        this.#connection?.close();
        const reason = error instanceof CallError ? error.problem : unexpected(error);
        if (reason !== UNREACHABLE) break;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    this.#lose(problem);
  }

  /** @param {ServerEvent} event */
  #receive(event) {
    this.#begun = true;
    this.send(this.#reporter.take(event, performance.now()));
    this.#ear.follow(event);
    this.#listener.event(event);
  }

  /** @param {Sound} sound */
  #hear(sound) {
    this.#listener.sound(sound);
    for (const levels of this.#meter?.fine(sound) ?? []) {
      const wait = this.#ear.hear(levels, this.#meter?.quantum ?? 0);
      if (!wait) continue;
      this.#listener.wait(wait);
      void this.#report(wait);
    }
  }

  /**
   * Tell the server how long an answer was waited for, as it was heard here.
   *
   * @param {Wait} wait
   */
  async #report({ response, from, to }) {
    const [spoken, heard] = [this.#meter?.when(from).said, this.#meter?.when(to).heard];
    const statistics = await this.#connection?.statistics();
    if (statistics && spoken && heard) this.send(this.#reporter.report(response, spoken, heard, statistics));
  }

  /** @param {MediaStream} agent */
  #play(agent) {
    this.#voice.srcObject = agent;
    this.#voice.play().catch((error) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.#listener.blocked();
    });
    this.#meter?.hear('agent', agent);
  }

  /** @param {Problem} problem */
  #lose(problem) {
    if (this.#closed) return;
    this.hangUp();
    this.#listener.lost(problem);
  }
}
