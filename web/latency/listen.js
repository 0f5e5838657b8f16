/**
 * Finds the sound of a turn, to hear it again: in another page of this browser that made the call, which is asked, or in the
 * server's recordings.
 *
 * @import { Turn } from './turns.js'
 */

import { authorization } from '../call/signalling.js';
import { borrow } from '../call/sounds.js';

/** @typedef {{ buffer: AudioBuffer, from: string } | { missing: string }} Found  `missing`: why there is none, in words. */

/**
 * @param {Turn} turn
 * @returns {Promise<Found>}
 */
export async function find({ call, response }) {
  const lent = await borrow(`${call} both ${response}`);
  if (lent) return { buffer: lent, from: 'the page that made the call' };
  const reply = await fetch(`/traces/${call}/${response}.wav`, { headers: authorization() }).catch(() => null);
  if (!reply) return { missing: 'The page that made the call is closed, and the server cannot be reached.' };
  if (!reply.ok) {
    const said = await reply.json().then(({ error }) => String(error.message), () => `It answered with HTTP status ${reply.status}.`);
    return { missing: `No page of this browser has the sound of this turn. ${said}` };
  }
  const context = new OfflineAudioContext(1, 1, 48_000);
  const buffer = await context.decodeAudioData(await reply.arrayBuffer()).catch(() => null);
  return buffer ? { buffer, from: 'the server’s recording' } : { missing: 'The server’s recording cannot be read.' };
}
