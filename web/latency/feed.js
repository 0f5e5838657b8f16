/**
 * Follows the server's turns: the history, then each turn as it happens. Comes back by itself when the connection is lost.
 * Not an EventSource, which cannot send the server's key.
 *
 * @import { Budget, Turn } from './turns.js'
 *
 * @typedef {'connecting' | 'live' | 'lost' | 'locked'} State  `locked`: the server wants its key.
 * @typedef {{
 *   state: (state: State) => void,
 *   budget: (budget: Budget) => void,
 *   turns: (turns: Turn[]) => void,
 * }} Listener
 */

import { authorization } from '../call/signalling.js';

const RETRY_MS = 2000;
/** All that the server keeps. */
const ADDRESS = '/traces/live?limit=5000';

/**
 * @param {Listener} listener
 * @param {AbortSignal} signal  Ends it.
 */
export async function follow(listener, signal) {
  while (!signal.aborted) {
    listener.state('connecting');
    const state = await listen(listener, signal).catch(() => /** @type {const} */ ('lost'));
    if (signal.aborted) return;
    listener.state(state);
    if (state === 'locked') return;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/**
 * One connection, to its end.
 *
 * @param {Listener} listener
 * @param {AbortSignal} signal
 * @returns {Promise<State>}
 */
async function listen(listener, signal) {
  const reply = await fetch(ADDRESS, { headers: authorization(), signal });
  if (reply.status === 401 || reply.status === 403) return 'locked';
  if (!reply.ok || !reply.body) return 'lost';
  listener.state('live');
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ; ) {
    const { done, value } = await reader.read();
    if (done) return 'lost';
    const { events, left } = parse(rest + value);
    rest = left;
    for (const { type, data } of events) {
      if (type === 'budget') listener.budget(data);
      if (type === 'history') listener.turns(data);
      if (type === 'turn') listener.turns([data]);
    }
  }
}

/**
 * The whole events at the beginning of a stream's text, and the rest of it.
 *
 * @param {string} text
 * @returns {{ events: { type: string, data: any }[], left: string }}
 */
export function parse(text) {
  const blocks = text.split('\n\n');
  const left = blocks.pop() ?? '';
  const events = blocks.flatMap((block) => {
    const found = /^event: (.+)\ndata: (.+)$/s.exec(block);
    return found ? [{ type: String(found[1]), data: JSON.parse(String(found[2])) }] : [];
  });
  return { events, left };
}
