/**
 * Percentiles of many turns, at once and over time. Pure; milliseconds, and seconds since 1970 for dates.
 *
 * @typedef {{ count: number, p50: number, p90: number, p95: number, p99: number }} Summary
 * @typedef {Summary & { from: number, to: number }} Interval
 */

export const RANKS = /** @type {const} */ (['p50', 'p90', 'p95', 'p99']);

/** Turns that a point of the line stands for, on average; fewer have no percentiles worth the name. */
const PER_INTERVAL = 12;
const MAX_INTERVALS = 60;

/**
 * By nearest rank: a value that occurred.
 *
 * @param {ArrayLike<number>} sorted  Not empty.
 * @param {number} percent
 */
export function percentile(sorted, percent) {
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  return /** @type {number} */ (sorted[rank - 1]);
}

/**
 * @param {Iterable<number>} values
 * @returns {Summary | null}  Null for none.
 */
export function summary(values) {
  const sorted = Float64Array.from(values).sort();
  if (!sorted.length) return null;
  const [p50, p90, p95, p99] = [50, 90, 95, 99].map((percent) => percentile(sorted, percent));
  return /** @type {Summary} */ ({ count: sorted.length, p50, p90, p95, p99 });
}

/**
 * The same in intervals of equal length; those without turns are left out.
 *
 * @param {readonly { date: number, value: number }[]} points  In order of their dates.
 * @returns {Interval[]}
 */
export function overTime(points) {
  return intervals(points).flatMap(({ from, to, items }) => {
    const found = summary(items.map(({ value }) => value));
    return found ? [{ ...found, from, to }] : [];
  });
}

/**
 * What has a date, in intervals of equal length from the first to the last.
 *
 * @template {{ date: number }} T
 * @param {readonly T[]} dated  In order.
 * @returns {{ from: number, to: number, items: T[] }[]}
 */
export function intervals(dated) {
  const first = dated[0]?.date ?? 0;
  const count = Math.max(1, Math.min(MAX_INTERVALS, Math.floor(dated.length / PER_INTERVAL)));
  const length = ((dated.at(-1)?.date ?? 0) - first) / count || 1;
  const made = Array.from({ length: count }, (_, index) => ({
    from: first + index * length,
    to: first + (index + 1) * length,
    items: /** @type {T[]} */ ([]),
  }));
  for (const item of dated) made[Math.min(count - 1, Math.floor((item.date - first) / length))]?.items.push(item);
  return made;
}
