/**
 * One peer connection with the server: the microphone's track out, the agent's voice and the events in. A call has one at
 * a time, and takes a new one when the network changed under it.
 *
 * @import { CodecName } from './codecs.js'
 * @import { ServerEvent } from './events.js'
 * @import { Problem } from './problems.js'
 * @import { Request } from './signalling.js'
 *
 * @typedef {{
 *   event: (event: ServerEvent) => void,
 *   voice: (agent: MediaStream) => void,
 *   unstable: (waiting: boolean) => void,
 *   lost: (problem: Problem) => void,
 * }} Ends  `voice`: the agent's, to be played. `unstable`: no packets arrive for the moment, or they do again. `lost`: the
 * connection is over, not by us; told once.
 */

import { preferred } from './codecs.js';
import { parse } from './events.js';
import { ENDED_BY_SERVER, LOST, NO_ROUTE } from './problems.js';
import { dial, end } from './signalling.js';

/** Host candidates are there in milliseconds; a silent STUN server must not hold the call for its own 10 s and more. */
const GATHERING_MS = 2000;
/** From the server's answer to its first event; ICE gives up at about 15 s in Chromium. */
const CONNECT_MS = 12_000;

export class Connection {
  /** @type {string | null} */
  #location = null;
  #closed = false;
  #timer = 0;
  #peer;
  #channel;
  #ends;
  #sender;

  /**
   * @param {MediaStream} mic
   * @param {RTCIceServer[]} iceServers
   * @param {CodecName | null} codec  The only one to offer; null: whatever the browser and the server like best.
   * @param {Ends} ends
   */
  constructor(mic, iceServers, codec, ends) {
    this.#ends = ends;
    this.#peer = new RTCPeerConnection({ iceServers });
    this.#channel = this.#peer.createDataChannel('oai-events');
    const track = mic.getAudioTracks()[0] ?? 'audio';
    const transceiver = this.#peer.addTransceiver(track, { direction: 'sendrecv', streams: [mic] });
    if (codec) transceiver.setCodecPreferences(preferred(RTCRtpReceiver.getCapabilities('audio')?.codecs ?? [], codec));
    this.#sender = transceiver.sender;
    this.#watch();
  }

  /**
   * Offer, and take the answer; CallError tells why the server refused.
   *
   * @param {Request} request
   * @param {string} token  See `dial`.
   * @returns {Promise<string | null>}  The token to come back with, if the call can be come back to.
   */
  async open(request, token) {
    await this.#peer.setLocalDescription();
    await gathered(this.#peer);
    const answer = await dial(this.#peer.localDescription?.sdp ?? '', request, token);
    this.#location = answer.location;
    if (this.#closed) {
      end(answer.location);
      return null;
    }
    this.#timer = setTimeout(() => this.#lose(NO_ROUTE), CONNECT_MS);
    this.#channel.addEventListener('message', () => clearTimeout(this.#timer), { once: true });
    await this.#peer.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
    return answer.token;
  }

  /**
   * The network changed, or nothing arrives: ask for another path below this connection, whose channel and sound then go on.
   * CallError tells why the server refused.
   *
   * @param {Request} request
   * @param {string} token
   */
  async restart(request, token) {
    this.#peer.restartIce();
    await this.#peer.setLocalDescription();
    await gathered(this.#peer);
    if (!this.waiting) return;
    const { sdp } = await dial(this.#peer.localDescription?.sdp ?? '', request, token);
    if (!this.#closed) await this.#peer.setRemoteDescription({ type: 'answer', sdp });
  }

  /** Nothing arrives for the moment, and the connection is not given up yet. */
  get waiting() {
    return !this.#closed && this.#peer.connectionState === 'disconnected';
  }

  /** @param {string[]} events  JSON texts. */
  send(events) {
    if (this.#channel.readyState === 'open') events.forEach((event) => this.#channel.send(event));
  }

  /** What the browser counts of the connection. */
  statistics() {
    return this.#peer.getStats();
  }

  /** Send another microphone's track from now on. */
  async replace(/** @type {MediaStream} */ mic) {
    await this.#sender.replaceTrack(mic.getAudioTracks()[0] ?? null);
  }

  /**
   * Send keys as telephone events (RFC 4733), where both ends have them.
   *
   * @param {string} keys
   * @returns {boolean}  Whether they go out.
   */
  press(keys) {
    if (!this.#sender.dtmf?.canInsertDTMF) return false;
    this.#sender.dtmf.insertDTMF(this.#sender.dtmf.toneBuffer + keys, 100, 70);
    return true;
  }

  /** End the call at the server, too. */
  hangUp() {
    if (this.#location) end(this.#location);
    this.close();
  }

  /** Give everything back; the server may keep the call for who comes back to it. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#peer.close();
  }

  #watch() {
    const peer = this.#peer;
    let connected = false;
    peer.ontrack = ({ streams, track }) => this.#ends.voice(streams[0] ?? new MediaStream([track]));
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'failed') this.#lose(connected ? LOST : NO_ROUTE);
      if (peer.connectionState === 'disconnected') this.#ends.unstable(true);
      if (peer.connectionState === 'connected') {
        if (connected) this.#ends.unstable(false);
        connected = true;
      }
    };
    this.#channel.onmessage = ({ data }) => {
      const event = parse(data);
      if (event && !this.#closed) this.#ends.event(event);
    };
    this.#channel.onclose = () => this.#lose(ENDED_BY_SERVER);
  }

  /** @param {Problem} problem */
  #lose(problem) {
    if (this.#closed) return;
    this.close();
    this.#ends.lost(problem);
  }
}

/**
 * All candidates are in the local description, or enough time has passed.
 *
 * @param {RTCPeerConnection} peer
 * @returns {Promise<void>}
 */
function gathered(peer) {
  return new Promise((resolve) => {
    // When ICE restarts, the state is that of the last gathering at first.
    const found = () => peer.localDescription?.sdp.includes('a=candidate:');
    const check = () => peer.iceGatheringState === 'complete' && found() && resolve();
    peer.addEventListener('icegatheringstatechange', check);
    setTimeout(resolve, GATHERING_MS);
    check();
  });
}
