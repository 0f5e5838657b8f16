/**
 * One call: microphone, peer connection, data channel. Takes the callbacks of a `Listener`; gives server events, levels
 * and, when the call ends by itself, why. Signalling is one POST of the whole offer (no trickle) and one DELETE.
 *
 * @import { ServerEvent } from './events.js'
 * @import { Levels } from './level.js'
 * @import { Problem } from './problems.js'
 *
 * @typedef {{
 *   connecting: () => void,
 *   event: (event: ServerEvent) => void,
 *   levels: (levels: Levels) => void,
 *   blocked: () => void,
 *   unstable: (waiting: boolean) => void,
 *   lost: (problem: Problem) => void,
 * }} Listener  `connecting`: the microphone is ours. `blocked`: the browser wants a click before it plays sound.
 * `unstable`: no packets arrive for the moment, or they do again. `lost`: the call is over, not by us.
 */

import { parse } from './events.js';
import { measure } from './meter.js';
import { CallError, ENDED_BY_SERVER, LOST, NO_ROUTE, UNREACHABLE, microphone, refused } from './problems.js';

const CALLS = '/v1/realtime/calls';
/** Host candidates are there in milliseconds; a silent STUN server must not hold the call for its own 10 s and more. */
const GATHERING_MS = 2000;
/** From the server's answer to its first event; ICE gives up at about 15 s in Chromium. */
const CONNECT_MS = 12_000;

export class Call {
  /** @type {string | null} */
  #location = null;
  #closed = false;
  /** @type {(() => void)[]} */
  #cleanUp = [];
  /** @type {MediaStream | null} */
  #mic = null;
  #peer;
  #channel;
  #voice;
  #listener;

  /**
   * @param {HTMLAudioElement} voice  Plays the agent.
   * @param {RTCIceServer[]} iceServers
   * @param {Listener} listener
   */
  constructor(voice, iceServers, listener) {
    this.#voice = voice;
    this.#listener = listener;
    this.#peer = new RTCPeerConnection({ iceServers });
    this.#channel = this.#peer.createDataChannel('oai-events');
  }

  /** Ask for the microphone and connect; CallError tells why that failed. Resolves early when hung up meanwhile. */
  async start() {
    try {
      await this.#openMicrophone();
      if (this.#closed) return;
      this.#listener.connecting();
      this.#watch();
      await this.#negotiate();
    } catch (error) {
      if (this.#closed) return;
      this.hangUp();
      throw error;
    }
  }

  /** @param {string[]} events  JSON texts. */
  send(events) {
    if (this.#channel.readyState === 'open') events.forEach((event) => this.#channel.send(event));
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.#mic?.getAudioTracks().forEach((track) => (track.enabled = !muted));
  }

  /** End the call and give everything back; safe at any time, also while the page goes away. */
  hangUp() {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#location) end(this.#location);
    this.#cleanUp.forEach((step) => step());
    this.#peer.close();
    this.#mic?.getTracks().forEach((track) => track.stop());
    this.#voice.srcObject = null;
  }

  async #openMicrophone() {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    try {
      this.#mic = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new CallError(microphone(error instanceof DOMException ? error.name : String(error)));
    }
    if (this.#closed) this.#mic.getTracks().forEach((track) => track.stop());
    for (const track of this.#mic.getAudioTracks()) {
      track.onended = () => this.#lose(microphone('NotReadableError'));
      this.#peer.addTrack(track, this.#mic);
    }
  }

  async #negotiate() {
    await this.#peer.setLocalDescription();
    await gathered(this.#peer);
    const answer = await post(this.#peer.localDescription?.sdp ?? '');
    this.#location = answer.location;
    if (this.#closed) {
      end(answer.location);
      return;
    }
    const timer = setTimeout(() => this.#lose(NO_ROUTE), CONNECT_MS);
    this.#cleanUp.push(() => clearTimeout(timer));
    this.#channel.addEventListener('message', () => clearTimeout(timer), { once: true });
    await this.#peer.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
  }

  #watch() {
    const peer = this.#peer;
    let connected = false;
    peer.ontrack = ({ streams, track }) => void this.#play(streams[0] ?? new MediaStream([track]));
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'failed') this.#lose(connected ? LOST : NO_ROUTE);
      if (peer.connectionState === 'disconnected') this.#listener.unstable(true);
      if (peer.connectionState === 'connected') {
        if (connected) this.#listener.unstable(false);
        connected = true;
      }
    };
    this.#channel.onmessage = ({ data }) => {
      const event = parse(data);
      if (event && !this.#closed) this.#listener.event(event);
    };
    this.#channel.onclose = () => this.#lose(ENDED_BY_SERVER);
  }

  /** @param {MediaStream} agent */
  async #play(agent) {
    this.#voice.srcObject = agent;
    this.#voice.play().catch((error) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.#listener.blocked();
    });
    if (!this.#mic) return;
    // Meters are a comfort: a browser without worklets calls without them.
    const stop = await measure(this.#mic, agent, this.#listener.levels).catch(() => () => {});
    if (this.#closed) stop();
    else this.#cleanUp.push(stop);
  }

  /** @param {Problem} problem */
  #lose(problem) {
    if (this.#closed) return;
    this.hangUp();
    this.#listener.lost(problem);
  }
}

/**
 * The whole offer in, the whole answer out.
 *
 * @param {string} offer
 * @returns {Promise<{ sdp: string, location: string }>}
 */
async function post(offer) {
  const headers = { ...authorization(), 'Content-Type': 'application/sdp' };
  const reply = await fetch(CALLS, { method: 'POST', headers, body: offer }).catch(() => {
    throw new CallError(UNREACHABLE);
  });
  const sdp = await reply.text();
  if (!reply.ok) throw new CallError(refused(reply.status, sdp));
  return { sdp, location: new URL(reply.headers.get('Location') ?? '', reply.url).href };
}

/** Outlives the page: it is also sent while that goes away. */
function end(/** @type {string} */ location) {
  void fetch(location, { method: 'DELETE', headers: authorization(), keepalive: true }).catch(() => {});
}

/**
 * The server's key, when the page was opened with one: a fragment never leaves the browser by itself.
 *
 * @returns {Record<string, string>}
 */
export function authorization() {
  const key = new URLSearchParams(window.location.hash.slice(1)).get('key');
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * All candidates are in the local description, or enough time has passed.
 *
 * @param {RTCPeerConnection} peer
 * @returns {Promise<void>}
 */
function gathered(peer) {
  return new Promise((resolve) => {
    const check = () => peer.iceGatheringState === 'complete' && resolve();
    peer.addEventListener('icegatheringstatechange', check);
    setTimeout(resolve, GATHERING_MS);
    check();
  });
}
