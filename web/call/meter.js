/**
 * Listens to both sides of a call on one audio clock: two streams in, `Sound` out, about a hundred a second.
 *
 * @import { Levels } from './level.js'
 *
 * @typedef {Levels & {
 *   samples: { mic: Int16Array, agent: Int16Array },
 *   quanta: { mic: Float32Array, agent: Float32Array },
 * }} Sound  Levels, the samples that they are of at half the context's rate, and the levels of each 128 of the context's
 * samples; `time` is that of the last of these.
 */

/** Samples that browsers render at a time. */
const QUANTUM = 128;

export class Meter {
  /** @type {Map<'mic' | 'agent', MediaStreamAudioSourceNode>} */
  #sources = new Map();
  #context;
  #node;

  /**
   * @param {AudioContext} context
   * @param {AudioWorkletNode} node
   */
  constructor(context, node) {
    this.#context = context;
    this.#node = node;
  }

  /**
   * Raises where a browser has no worklets: meters are a comfort, and calls go on without them.
   *
   * @param {(sound: Sound) => void} listen
   */
  static async open(listen) {
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL('level-worklet.js', import.meta.url));
    const node = new AudioWorkletNode(context, 'level', { numberOfInputs: 2, numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => listen(data);
    return new Meter(context, node);
  }

  /**
   * When a moment of the sound's clock was heard, and when the microphone's sound of that moment was said, by
   * `performance.now()`. The agent's sound waits in the output before it is heard; the microphone's had waited in the
   * input, of which browsers say nothing.
   *
   * @param {number} time  Seconds.
   */
  when(time) {
    const { contextTime, performanceTime } = this.#context.getOutputTimestamp();
    const known = contextTime && performanceTime;
    const heard = known
      ? performanceTime + 1000 * (time - contextTime)
      : performance.now() + 1000 * (time - this.#context.currentTime + this.#context.outputLatency);
    return { heard, said: heard - 1000 * (this.#context.outputLatency || 0) };
  }

  /** Samples per second of `Sound`. */
  get rate() {
    return this.#context.sampleRate / 2;
  }

  /**
   * A sound's levels as finely as they were taken: 128 samples each.
   *
   * @param {Sound} sound
   * @returns {Levels[]}
   */
  fine({ time, quanta: { mic, agent } }) {
    return Array.from(mic, (level, at) => ({
      time: time - (mic.length - 1 - at) * this.quantum,
      mic: level,
      agent: agent[at] ?? 0,
    }));
  }

  /** Seconds. */
  get quantum() {
    return QUANTUM / this.#context.sampleRate;
  }

  /**
   * Listen to a stream in the place of the side's last one.
   *
   * @param {'mic' | 'agent'} side
   * @param {MediaStream} stream  The agent's must also play in an audio element: Chromium decodes a remote track for
   * nobody else.
   */
  hear(side, stream) {
    this.#sources.get(side)?.disconnect();
    const source = this.#context.createMediaStreamSource(stream);
    source.connect(this.#node, 0, side === 'mic' ? 0 : 1);
    this.#sources.set(side, source);
  }

  close() {
    this.#node.port.onmessage = null;
    void this.#context.close();
  }
}
