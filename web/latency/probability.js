/**
 * How sure the server was in a pause that the turn is over, as the pause went on. Pure; milliseconds.
 *
 * A caller's pauses are log-normal in length. With even odds when a pause begins, silence alone makes the end as probable as
 * pauses of that length are rare; the engine's evidence multiplies the odds from when it is known. The turn is over at the
 * probability that the configured silence reaches without evidence. agent/turns/endpointing.py decides by the same figures.
 *
 * @typedef {{ at_ms: number, median_ms: number, spread: number, evidence: number, allowed: number }} Decision
 * @typedef {{ ms: number, probability: number }} Point
 */

const STEPS = 96;

/**
 * The probability that a normal variable is below `z`, right to 7.5e-8 (Abramowitz and Stegun, 26.2.17).
 *
 * @param {number} z
 */
export function normal(z) {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (series * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
  return z < 0 ? tail : 1 - tail;
}

/**
 * The probability that the turn is over after so much silence.
 *
 * @param {Decision} decision
 * @param {number} ms
 */
export function ended({ at_ms, median_ms, spread, evidence }, ms) {
  const longer = ms > 0 ? 1 - normal(Math.log(ms / median_ms) / spread) : 1;
  const odds = ms < at_ms ? 1 : Math.exp(evidence);
  return odds / (odds + longer);
}

/**
 * The probability at which the turn is over.
 *
 * @param {Decision} decision
 */
export const enough = ({ allowed }) => 1 / (1 + allowed);

/**
 * The curve from the beginning of a pause, with a step where the engine's evidence came.
 *
 * @param {Decision} decision
 * @param {number} until
 * @returns {Point[]}
 */
export function curve(decision, until) {
  const even = Array.from({ length: STEPS + 1 }, (_, step) => (until * step) / STEPS);
  const times = decision.at_ms < until ? [...even, decision.at_ms - 1e-6, decision.at_ms].sort((a, b) => a - b) : even;
  return times.map((ms) => ({ ms, probability: ended(decision, ms) }));
}
