/**
 * What a telephone knows: its keys, the number on its display, whom that reaches, how long a call has lasted. Pure.
 *
 * @import { Agent } from '../call/signalling.js'
 */

/** Keys in the order of the pad, with the letters that telephones carry. */
export const KEYS = /** @type {const} */ ([
  ['1', ''], ['2', 'ABC'], ['3', 'DEF'],
  ['4', 'GHI'], ['5', 'JKL'], ['6', 'MNO'],
  ['7', 'PQRS'], ['8', 'TUV'], ['9', 'WXYZ'],
  ['*', ''], ['0', ''], ['#', ''],
]);

const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477];

/** The longest number that is dialled (ITU-T E.164). */
const LONGEST = 15;

/** Who answers with the server's own settings, whatever agents there are. */
const OPERATOR = { id: '', name: 'Parley', number: '0', codec: null };

/**
 * The two frequencies of a key in Hz (ITU-T Q.23).
 *
 * @param {string} key
 * @returns {[number, number]}
 */
export function frequencies(key) {
  const at = KEYS.findIndex(([name]) => name === key);
  return [ROWS[Math.floor(at / 3)] ?? 0, COLUMNS[at % 3] ?? 0];
}

/** @returns {boolean} */
export function isKey(/** @type {string} */ key) {
  return KEYS.some(([name]) => name === key);
}

/**
 * The number after another key.
 *
 * @param {string} number
 * @param {string} key
 */
export function dialled(number, key) {
  return number.length < LONGEST ? number + key : number;
}

/**
 * Whom a number reaches.
 *
 * @param {Agent[]} agents
 * @param {string} number
 */
export function reached(agents, number) {
  return [OPERATOR, ...agents].find((agent) => agent.number === number) ?? null;
}

/**
 * How long a call has lasted, as 0:07 or 1:02:03.
 *
 * @param {number} milliseconds
 */
export function clock(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
