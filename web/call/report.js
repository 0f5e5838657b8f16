/**
 * What this browser measured of its turns, told to the server for their traces: `parley.heard`, on the server's clock,
 * which is compared with pings over the data channel. Times are milliseconds of `performance.now()`.
 *
 * @import { ServerEvent } from './events.js'
 * @typedef {{ packetsLost: number, jitter: number, concealedSamples: number, jitterBufferDelay: number, jitterBufferEmittedCount: number }} Inbound
 */

import { Clock } from './clock.js';

/** The quickest counts. */
const PINGS = 3;
/** Of the clock that `concealedSamples` counts with. */
const SAMPLES_PER_MS = 48;
/** When clocks are compared: early in the call, and in each turn while the answer is made. */
const MOMENTS = new Set(['session.created', 'input_audio_buffer.speech_stopped']);

export class Reporter {
  #clock = new Clock();
  /** @type {Inbound} */
  #before = { packetsLost: 0, jitter: 0, concealedSamples: 0, jitterBufferDelay: 0, jitterBufferEmittedCount: 0 };

  /**
   * @param {ServerEvent} event
   * @param {number} now
   * @returns {string[]}  Pings to send, or nothing.
   */
  take(event, now) {
    if (event.type === 'parley.pong') this.#clock.add(event.client_ms, event.server_ms, now);
    if (!MOMENTS.has(event.type)) return [];
    return Array.from({ length: PINGS }, () => JSON.stringify({ type: 'parley.ping', client_ms: now }));
  }

  /**
   * The events that report a turn; none before clocks were compared.
   *
   * @param {string} response
   * @param {number} spoken
   * @param {number} heard
   * @param {RTCStatsReport | Map<string, any>} statistics
   * @returns {string[]}
   */
  report(response, spoken, heard, statistics) {
    if (this.#clock.error === Infinity) return [];
    const found = [...statistics.values()];
    const inbound = found.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
    const pair = found.find(({ type, nominated }) => type === 'candidate-pair' && nominated);
    const event = {
      type: 'parley.heard',
      response_id: response,
      spoken_ms: this.#clock.atServer(spoken),
      heard_ms: this.#clock.atServer(heard),
      clock_error_ms: this.#clock.error,
      ...(pair?.currentRoundTripTime === undefined ? {} : { round_trip_ms: 1000 * pair.currentRoundTripTime }),
      ...(inbound ? this.#since(inbound) : {}),
    };
    return [JSON.stringify(event)];
  }

  /** What became of the agent's sound since the last report. */
  #since(/** @type {Inbound} */ inbound) {
    const before = this.#before;
    this.#before = inbound;
    const emitted = inbound.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
    const delay = inbound.jitterBufferDelay - before.jitterBufferDelay;
    return {
      jitter_ms: 1000 * inbound.jitter,
      packets_lost: Math.max(0, inbound.packetsLost - before.packetsLost),
      concealed_ms: Math.max(0, inbound.concealedSamples - before.concealedSamples) / SAMPLES_PER_MS,
      ...(emitted > 0 ? { jitter_buffer_ms: (1000 * delay) / emitted } : {}),
    };
  }
}
