/**
 * Draws the last seconds of a call: the agent above the line, the caller below, now at the right; the wait before an
 * answer is the gap between them, and carries its length. Takes `Levels` and a canvas.
 *
 * @import { Levels } from '../call/level.js'
 * @typedef {{ time: number, mic: number, agent: number }} Column  Fills, 0 to 1.
 */

import { fill } from '../call/level.js';

/** Seconds of sound in one column, and the pixels it takes with its gap. */
const COLUMN_S = 0.06;
const PITCH = 5;
const BAR = 3;
/** Width of the names at the left, where the style sheet lets the history fade. */
const LABELS = 96;
const STILL = matchMedia('(prefers-reduced-motion: reduce)');

export class Strip {
  /** @type {Column[]} */
  #columns = [];
  /** @type {{ from: number, to: number }[]} */
  #waits = [];
  #drawn = 0;
  #canvas;
  #width = 0;
  #height = 0;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    for (const query of ['(prefers-color-scheme: dark)', '(min-resolution: 1.5x)']) {
      matchMedia(query).addEventListener('change', () => this.#draw());
    }
  }

  clear() {
    this.#columns = [];
    this.#waits = [];
    this.#draw();
  }

  /** @param {{ from: number, to: number }} wait  Seconds of the audio clock. */
  wait(wait) {
    this.#waits = [...this.#waits.slice(-8), wait];
  }

  /** @param {Levels} levels */
  push({ time, mic, agent }) {
    const last = this.#columns.at(-1);
    if (last && time - last.time < COLUMN_S) {
      last.mic = Math.max(last.mic, fill(mic));
      last.agent = Math.max(last.agent, fill(agent));
      return;
    }
    this.#columns.push({ time: last ? last.time + COLUMN_S : time, mic: fill(mic), agent: fill(agent) });
    this.#columns = this.#columns.slice(-Math.ceil(this.#width / PITCH) - 1);
    cancelAnimationFrame(this.#drawn);
    this.#drawn = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const context = this.#canvas.getContext('2d');
    if (!context) return;
    this.#fit();
    const style = getComputedStyle(this.#canvas);
    const colours = { mic: style.color, agent: style.accentColor, line: style.borderTopColor };
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.#width, this.#height);
    if (STILL.matches) this.#drawMeters(context, colours);
    else this.#drawHistory(context, colours);
  }

  /** As many pixels as the screen has there; it changes with the window, the zoom and the screen. */
  #fit() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    this.#width = width;
    this.#height = height;
    const [across, down] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
    if (this.#canvas.width !== across) this.#canvas.width = across;
    if (this.#canvas.height !== down) this.#canvas.height = down;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {{ mic: string, agent: string, line: string }} colours
   */
  #drawHistory(context, colours) {
    const middle = this.#height / 2;
    const reach = middle - 2;
    const x = (/** @type {number} */ index) => this.#width - (this.#columns.length - index) * PITCH;
    context.fillStyle = colours.line;
    for (let at = this.#width - PITCH; at > -BAR; at -= PITCH) context.fillRect(at, middle - 0.5, BAR, 1);
    this.#columns.forEach(({ mic, agent }, index) => {
      bar(context, colours.agent, x(index), middle - 1, -reach * agent);
      bar(context, colours.mic, x(index), middle + 1, reach * mic);
    });
    context.font = `600 11px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textAlign = 'center';
    const first = this.#columns[0]?.time ?? 0;
    for (const { from, to } of this.#waits) {
      const [left, right] = [x((from - first) / COLUMN_S), x((to - first) / COLUMN_S)];
      context.fillStyle = colours.mic;
      context.fillRect(left + BAR, middle - 0.75, right - left - BAR, 1.5);
      context.fillText(`${(to - from).toFixed(2)} s`, (left + right + BAR) / 2, middle - 6);
    }
  }

  /**
   * Nothing travels for those who asked for less motion: one bar each, as loud as now.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {{ mic: string, agent: string, line: string }} colours
   */
  #drawMeters(context, colours) {
    const now = this.#columns.at(-1) ?? { mic: 0, agent: 0 };
    const room = this.#width - LABELS;
    for (const [side, y] of /** @type {const} */ ([['agent', -11], ['mic', 11]])) {
      context.fillStyle = colours.line;
      context.fillRect(LABELS, this.#height / 2 + y - 3, room, 6);
      context.fillStyle = colours[side];
      context.fillRect(LABELS, this.#height / 2 + y - 3, room * now[side], 6);
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} colour
 * @param {number} x
 * @param {number} y
 * @param {number} height  Signed; less than a pixel draws nothing.
 */
function bar(context, colour, x, y, height) {
  if (Math.abs(height) < 1) return;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x, y, BAR, height, BAR / 2);
  context.fill();
}
