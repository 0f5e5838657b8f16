/**
 * One pause of a turn as a picture: how sure the server was that the turn is over, how sure is enough, and what happened. The
 * caption says the same in words.
 *
 * @import { Decision } from './probability.js'
 * @import { Pause } from './turns.js'
 */

import { curve, ended, enough } from './probability.js';

const [WIDTH, HEIGHT] = [320, 96];

const EXPECTED = /** @type {Record<string, string>} */ ({
  dictation: 'a number or a spelling was asked for',
  yes_or_no: 'yes or no was asked for',
});

/** @param {Pause} pause */
export function figure(pause) {
  const figure = document.createElement('figure');
  const caption = document.createElement('figcaption');
  caption.textContent = words(pause);
  if (pause.decision) figure.append(picture(pause, pause.decision));
  figure.append(caption);
  return figure;
}

/**
 * What was decided, why, and what came of it. Pure.
 *
 * @param {Pause} pause
 */
export function words({ wait_ms, length_ms, end_of_turn, expected, decision }) {
  const percent = (/** @type {number} */ share) => `${Math.round(100 * share)} %`;
  const parts = [length_ms === null ? `The turn was over after ${wait_ms} ms` : `The caller went on after ${length_ms} ms of ${wait_ms}`];
  if (!decision) return `${parts[0]}: a fixed silence.`;
  const sure = ended(decision, wait_ms);
  if (Math.abs(sure - enough(decision)) < 0.01) parts.push(`${percent(enough(decision))} sure is enough`);
  else parts.push(sure < enough(decision) ? 'the longest wait that is allowed' : 'the shortest wait that is allowed');
  if (end_of_turn === null) parts.push('the engine had not judged');
  else {
    const weight = decision.evidence ? '' : ', which is not believed yet';
    parts.push(`${percent(end_of_turn)} by the engine after ${decision.at_ms} ms${weight}`);
  }
  if (EXPECTED[expected]) parts.push(String(EXPECTED[expected]));
  return `${parts[0]}: ${parts.slice(1).join(', ')}.`;
}

/**
 * @param {Pause} pause
 * @param {Decision} decision
 */
function picture({ wait_ms, length_ms }, decision) {
  const until = Math.max(1.2 * wait_ms, 1.1 * (length_ms ?? 0));
  const x = (/** @type {number} */ ms) => ((WIDTH * ms) / until).toFixed(1);
  const y = (/** @type {number} */ probability) => (HEIGHT * (1 - probability)).toFixed(1);
  const svg = shape('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' });
  const line = (/** @type {string} */ name, /** @type {number[]} */ [x1, y1, x2, y2]) =>
    svg.append(shape('line', { class: name, x1: x(x1 ?? 0), y1: y(y1 ?? 0), x2: x(x2 ?? 0), y2: y(y2 ?? 0) }));
  line('axis', [0, 0, until, 0]);
  line('enough', [0, enough(decision), until, enough(decision)]);
  const points = curve(decision, until).map(({ ms, probability }) => `${x(ms)},${y(probability)}`);
  svg.append(shape('polyline', { class: 'curve', points: points.join(' ') }));
  if (length_ms !== null) line('resumed', [length_ms, 0, length_ms, 1]);
  line('decided', [wait_ms, 0, wait_ms, 1]);
  const labels = document.createElement('p');
  labels.className = 'times';
  labels.append(span('0'), span(`${wait_ms} ms`, `${(100 * wait_ms) / until}%`));
  const level = document.createElement('p');
  level.className = 'level';
  level.textContent = `${Math.round(100 * enough(decision))} % sure is enough`;
  level.style.top = `${HEIGHT * (1 - enough(decision))}px`;
  const both = document.createElement('div');
  both.className = 'pause';
  both.setAttribute('aria-hidden', 'true');
  both.append(svg, level, labels);
  return both;
}

/**
 * @param {string} text
 * @param {string} [left]
 */
function span(text, left) {
  const element = document.createElement('span');
  element.textContent = text;
  if (left) element.style.left = left;
  return element;
}

/**
 * @param {string} name
 * @param {Record<string, string>} attributes
 */
function shape(name, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}
