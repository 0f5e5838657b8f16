/**
 * Runs on the audio thread: the RMS of each input, about every 10 ms, posted as `Levels` (level.js). The first input is
 * the microphone, the second the agent.
 */

const worklet = /** @type {any} */ (globalThis);

/** Quanta of 128 samples that one report covers: 10.7 ms at 48 kHz. */
const QUANTA = 4;

class LevelProcessor extends worklet.AudioWorkletProcessor {
  quanta = 0;
  energy = [0, 0];

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    inputs.forEach((channels, side) => {
      for (const sample of channels[0] ?? []) this.energy[side] = (this.energy[side] ?? 0) + sample * sample;
    });
    this.quanta += 1;
    if (this.quanta === QUANTA) {
      const [mic, agent] = this.energy.map((energy) => Math.sqrt(energy / (QUANTA * 128)));
      this.port.postMessage({ time: worklet.currentTime, mic, agent });
      this.quanta = 0;
      this.energy = [0, 0];
    }
    return true;
  }
}

worklet.registerProcessor('level', LevelProcessor);
