/**
 * Plays recorded sound, one piece at a time.
 */

export class Player {
  /** What is being played. @type {string | null} */
  playing = null;
  /** @type {AudioContext | null} */
  #context = null;
  #changed;

  /** @param {(playing: string | null) => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * From its beginning, in the place of what is being played.
   *
   * @param {string} name
   * @param {AudioBuffer} buffer
   */
  play(name, buffer) {
    this.stop();
    const context = new AudioContext();
    const source = new AudioBufferSourceNode(context, { buffer });
    source.onended = () => this.#context === context && this.stop();
    source.connect(context.destination);
    source.start();
    this.#context = context;
    this.#tell(name);
  }

  stop() {
    void this.#context?.close();
    this.#context = null;
    this.#tell(null);
  }

  #tell(/** @type {string | null} */ playing) {
    this.playing = playing;
    this.#changed(playing);
  }
}
