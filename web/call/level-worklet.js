/**
 * Runs on the audio thread: each input's RMS and samples, about every 10 ms, posted as `Sound` (meter.js). The first input
 * is the microphone, the second the agent.
 */

const worklet = /** @type {any} */ (globalThis);

/** Quanta of 128 samples that one report covers: 10.7 ms at 48 kHz. */
const QUANTA = 4;

/** Samples of a report: speech needs no more than half the rate of a screen's sound. */
const KEPT = (QUANTA * 128) / 2;

class LevelProcessor extends worklet.AudioWorkletProcessor {
  quanta = 0;
  energy = [0, 0];
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
    const kept = this.samples[side] ?? new Int16Array(KEPT);
    for (let at = 0; at < 128; at += 2) {
      const [a, b] = [quantum[at] ?? 0, quantum[at + 1] ?? 0];
      this.energy[side] = (this.energy[side] ?? 0) + a * a + b * b;
      kept[(this.quanta * 128 + at) / 2] = Math.max(-1, Math.min(1, (a + b) / 2)) * 32_767;
    }
  }

  report() {
    const [mic, agent] = this.energy.map((energy) => Math.sqrt(energy / (QUANTA * 128)));
    const samples = { mic: this.samples[0], agent: this.samples[1] };
    this.port.postMessage({ time: worklet.currentTime, mic, agent, samples });
    this.quanta = 0;
    this.energy = [0, 0];
    this.samples.forEach((kept) => kept.fill(0));
  }
}

worklet.registerProcessor('level', LevelProcessor);
