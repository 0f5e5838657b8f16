/**
 * Push-to-talk: a turn lasts as long as a button is held. Tells when it begins and ends; knows nothing of calls.
 *
 * @typedef {{ pressed: () => void, released: (seconds: number) => void, dropped: () => void }} Ends  `dropped`: it was held
 * too short for a turn.
 */

/** Sound that is still on its way when the button is let go. */
const RELEASE_MS = 200;
/** A shorter press was an accident. */
const PRESS_MS = 300;

const CLOCK = {
  now: () => performance.now(),
  sleep: (/** @type {number} */ milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
};

export class PushToTalk {
  /** Whether turns are taken so at all. */
  on = false;
  held = false;
  #since = 0;
  #ends;
  #clock;

  /**
   * @param {Ends} ends
   * @param {typeof CLOCK} clock  In milliseconds.
   */
  constructor(ends, clock = CLOCK) {
    this.#ends = ends;
    this.#clock = clock;
  }

  press() {
    if (!this.on || this.held) return;
    this.held = true;
    this.#since = this.#clock.now();
    this.#ends.pressed();
  }

  async release() {
    if (!this.held) return;
    const milliseconds = this.#clock.now() - this.#since;
    await this.#clock.sleep(RELEASE_MS);
    if (!this.held) return; // let go twice, or the call is over
    this.held = false;
    if (milliseconds < PRESS_MS) this.#ends.dropped();
    else this.#ends.released(milliseconds / 1000);
  }
}
