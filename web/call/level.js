/**
 * Loudness of both sides of a call: RMS, 1 is full scale, at a time in seconds of one audio clock. Pure.
 *
 * @typedef {{ time: number, mic: number, agent: number }} Levels
 */

/** Quieter than this shows as nothing; loud speech into a microphone is near -15 dBFS. */
const QUIET_DB = -54;

/**
 * How much of a meter a level fills, 0 to 1, even in decibels.
 *
 * @param {number} rms
 */
export function fill(rms) {
  const decibels = 20 * Math.log10(Math.max(rms, 1e-6));
  return Math.min(1, Math.max(0, 1 - decibels / QUIET_DB));
}
