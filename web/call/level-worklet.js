/**
 * Runs on the audio thread: each input's levels and samples, about every 10 ms, posted as `Sound` (meter.js). The first input
 * is the microphone, the second the agent.
 */

const worklet = /** @type {any} */ (globalThis);

/** Quanta of 128 samples that one report covers: 10.7 ms at 48 kHz. */
const QUANTA = 4;

/** Samples of a report: speech needs no more than half the rate of a screen's sound. */
const KEPT = (QUANTA * 128) / 2;

class LevelProcessor extends worklet.AudioWorkletProcessor {
  quanta = 0;
  /** RMS of each quantum. */
  levels = [new Float32Array(QUANTA), new Float32Array(QUANTA)];
  samples = [new Int16Array(KEPT), new Int16Array(KEPT)];

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    inputs.forEach((channels, side) => this.take(channels[0], side));
    this.quanta += 1;
    if (this.quanta === QUANTA) this.report();
    return true;
  }

  /**
   * @param {Float32Array | undefined} quantum
   * @param {number} side
   */
  take(quantum, side) {
    if (!quantum) return;
    let energy = 0;
    const kept = this.samples[side] ?? new Int16Array(KEPT);
    for (let at = 0; at < 128; at += 2) {
      const [a, b] = [quantum[at] ?? 0, quantum[at + 1] ?? 0];
      energy += a * a + b * b;
      kept[(this.quanta * 128 + at) / 2] = Math.max(-1, Math.min(1, (a + b) / 2)) * 32_767;
    }
    const levels = this.levels[side];
    if (levels) levels[this.quanta] = Math.sqrt(energy / 128);
  }

  report() {
    const [mic, agent] = this.levels.map((levels) => Math.hypot(...levels) / Math.sqrt(QUANTA));
    const samples = { mic: this.samples[0], agent: this.samples[1] };
    const quanta = { mic: this.levels[0], agent: this.levels[1] };
    this.port.postMessage({ time: worklet.currentTime, mic, agent, samples, quanta });
    this.quanta = 0;
    for (const kept of [...this.samples, ...this.levels]) kept.fill(0);
  }
}

worklet.registerProcessor('level', LevelProcessor);
