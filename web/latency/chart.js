/**
 * Two pictures on one time line: percentiles as lines, with the budget as a dashed one; and what went wrong meanwhile, as bars.
 * Take `Interval`s and counts, give nothing; the figures themselves are in the page's table and its headline.
 *
 * @import { Interval } from './percentiles.js'
 * @typedef {{ name: string, unit: string, values: { from: number, to: number, value: number }[] }} Row
 */

import { RANKS } from './percentiles.js';
import { clock } from './turns.js';

const MARGIN = { top: 10, right: 42, bottom: 20, left: 76 };
/** Pixels of a row of bars. */
const ROW = 24;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {readonly Interval[]} intervals
 * @param {number | undefined} budget  Milliseconds.
 */
export function drawPercentiles(canvas, intervals, budget) {
  const pen = begin(canvas);
  const [first, last] = [intervals[0], intervals.at(-1)];
  if (!pen || !first || !last) return;
  const { context, style, width, height } = pen;
  const top = ceiling(Math.max(budget ?? 0, ...intervals.map(({ p99 }) => p99)));
  const x = across(width, first.from, last.to);
  const y = (/** @type {number} */ value) => height - MARGIN.bottom - (value / top) * (height - MARGIN.top - MARGIN.bottom);
  axes(context, style, { x, y, top, from: first.from, to: last.to, right: width - MARGIN.right });
  if (budget) limit(context, style, y(budget), width - MARGIN.right);
  lines(context, style, intervals, x, y);
}

/**
 * Each row has its own scale; its greatest value stands at its end.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {readonly Row[]} rows  Of the same intervals.
 */
export function drawIncidents(canvas, rows) {
  const pen = begin(canvas);
  const values = rows[0]?.values ?? [];
  const [first, last] = [values[0], values.at(-1)];
  if (!pen || !first || !last) return;
  const { context, style, width } = pen;
  const x = across(width, first.from, last.to);
  rows.forEach(({ name, unit, values }, index) => {
    const bottom = (index + 1) * ROW - 2;
    const most = Math.max(...values.map(({ value }) => value));
    context.fillStyle = style.getPropertyValue('--soft');
    context.textAlign = 'right';
    context.fillText(name, MARGIN.left - 8, bottom - 6);
    context.textAlign = 'left';
    context.fillText(`${Math.round(10 * most) / 10}${unit}`, width - MARGIN.right + 6, bottom - 6);
    context.fillStyle = style.getPropertyValue('--line');
    context.fillRect(MARGIN.left, bottom, width - MARGIN.left - MARGIN.right, 1);
    context.fillStyle = style.getPropertyValue('--alarm');
    for (const { from, to, value } of values) {
      const tall = most ? ((ROW - 6) * value) / most : 0;
      context.fillRect(x(from), bottom - tall, Math.max(1, x(to) - x(from) - 1), tall);
    }
  });
}

/** A canvas as large as it is shown, empty. */
function begin(/** @type {HTMLCanvasElement} */ canvas) {
  const context = canvas.getContext('2d');
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!context || !width) return null;
  const style = getComputedStyle(canvas);
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  context.scale(devicePixelRatio, devicePixelRatio);
  context.font = `12px ${style.fontFamily}`;
  context.textBaseline = 'middle';
  return { context, style, width, height };
}

/**
 * Where a date is, in pixels.
 *
 * @param {number} width
 * @param {number} from
 * @param {number} to
 */
function across(width, from, to) {
  return (/** @type {number} */ date) => MARGIN.left + ((date - from) / (to - from || 1)) * (width - MARGIN.left - MARGIN.right);
}

/** A round number at or above. */
export function ceiling(/** @type {number} */ value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return unit * /** @type {number} */ ([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= value));
}

/**
 * @typedef {(value: number) => number} Scale
 * @param {CanvasRenderingContext2D} context
 * @param {CSSStyleDeclaration} style
 * @param {{ x: Scale, y: Scale, top: number, from: number, to: number, right: number }} range
 */
function axes(context, style, { x, y, top, from, to, right }) {
  context.fillStyle = style.getPropertyValue('--soft');
  context.strokeStyle = style.getPropertyValue('--line');
  context.lineWidth = 1;
  for (const value of [0, top / 2, top]) {
    context.beginPath();
    context.moveTo(MARGIN.left, Math.round(y(value)) + 0.5);
    context.lineTo(right, Math.round(y(value)) + 0.5);
    context.stroke();
    context.textAlign = 'right';
    context.fillText(String(value), MARGIN.left - 6, y(value));
  }
  context.textAlign = 'left';
  context.fillText(clock(from).slice(0, 5), x(from), y(0) + 12);
  context.textAlign = 'right';
  if (to - from > 60) context.fillText(clock(to).slice(0, 5), x(to), y(0) + 12);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {CSSStyleDeclaration} style
 * @param {number} height
 * @param {number} right
 */
function limit(context, style, height, right) {
  context.strokeStyle = style.getPropertyValue('--alarm');
  context.setLineDash([4, 4]);
  context.beginPath();
  context.moveTo(MARGIN.left, height);
  context.lineTo(right, height);
  context.stroke();
  context.setLineDash([]);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {CSSStyleDeclaration} style
 * @param {readonly Interval[]} intervals
 * @param {Scale} x
 * @param {Scale} y
 */
function lines(context, style, intervals, x, y) {
  context.strokeStyle = context.fillStyle = style.getPropertyValue('--accent');
  context.lineJoin = 'round';
  let label = -Infinity;
  [...RANKS].forEach((rank, index) => {
    context.globalAlpha = 1 - 0.22 * index;
    context.lineWidth = rank === 'p50' ? 2.5 : 1.25;
    context.beginPath();
    for (const interval of intervals) {
      const at = intervals.length === 1 ? x(interval.from) : x((interval.from + interval.to) / 2);
      context.lineTo(at, y(interval[rank]));
      if (intervals.length === 1) context.lineTo(x(interval.to), y(interval[rank]));
    }
    context.stroke();
    const last = intervals.at(-1);
    if (!last) return;
    // Labels stand apart from one another, from the lowest line upwards.
    label = label === -Infinity ? y(last[rank]) : Math.min(y(last[rank]), label - 12);
    context.globalAlpha = 1;
    context.textAlign = 'left';
    context.fillText(rank, x(last.to) + 6, label);
  });
}
