/**
 * The server's HTTP side of a call: what it offers, one POST of the whole offer (no trickle), one DELETE.
 *
 * @typedef {{ id: string, name: string, number: string, greeting: string, voice: string, codec: string | null }} Agent
 *
 * @typedef {{
 *   model: string,
 *   suggestions: string[],
 *   ice_servers: RTCIceServer[],
 *   agents: Agent[],
 *   voices: string[],
 *   resume_seconds: number,
 *   records: boolean,
 * }} About  `resume_seconds`: how long a call waits for a caller who lost the connection; 0: not at all. `records`: the server
 * keeps calls.
 *
 * @typedef {{ agent?: string, session?: object }} Request
 * `agent`: who answers; left out, the server's own settings do. `session`: changes of what the call begins with.
 *
 * @typedef {{ sdp: string, location: string, token: string | null }} Answer  `token`: what to come back to the call with.
 */

import { CallError, UNREACHABLE, refused } from './problems.js';

const CALLS = '/v1/realtime/calls';
/** Beside the offer: `new`, or the token of the call to come back to; beside the answer: the next token. */
const RESUME = 'Parley-Resume';
/** Where the key is kept for the other pages, as long as the tab. */
const KEY = 'parley.key';

/** Of a server that said nothing yet. @type {About} */
export const UNKNOWN = { model: '', suggestions: [], ice_servers: [], agents: [], voices: [], resume_seconds: 0, records: false };

/**
 * What the server says of itself before a call; where it says nothing, nothing is offered.
 *
 * @returns {Promise<About>}
 */
export async function describe() {
  const [about, { data: agents = [], voices = [] }] = await Promise.all([read('/v1/parley'), read('/v1/agents')]);
  return { ...UNKNOWN, ...about, agents, voices };
}

/** A JSON object of the server's; empty where it cannot be had. */
async function read(/** @type {string} */ path) {
  const reply = await fetch(path, { headers: authorization() }).catch(() => null);
  return reply?.ok ? await reply.json() : {};
}

/**
 * The whole offer in, the whole answer out. Raises CallError.
 *
 * @param {string} offer
 * @param {Request} request
 * @param {string} token  Of the call to come back to; `new` for a call that one may come back to.
 * @returns {Promise<Answer>}
 */
export async function dial(offer, { session, agent }, token) {
  const body = new FormData();
  body.set('sdp', offer);
  if (session) body.set('session', JSON.stringify(session));
  const address = agent ? `${CALLS}?agent=${encodeURIComponent(agent)}` : CALLS;
  const headers = { ...authorization(), [RESUME]: token };
  const reply = await fetch(address, { method: 'POST', headers, body }).catch(() => {
    throw new CallError(UNREACHABLE);
  });
  const sdp = await reply.text();
  if (!reply.ok) throw new CallError(refused(reply.status, sdp));
  const location = new URL(reply.headers.get('Location') ?? '', reply.url).href;
  return { sdp, location, token: reply.headers.get(RESUME) };
}

/** Outlives the page: it is also sent while that goes away. */
export function end(/** @type {string} */ location) {
  void fetch(location, { method: 'DELETE', headers: authorization(), keepalive: true }).catch(() => {});
}

/**
 * The server's key, when a page of this tab was opened with one: a fragment never leaves the browser by itself.
 *
 * @returns {Record<string, string>}
 */
export function authorization() {
  const shown = new URLSearchParams(window.location.hash.slice(1)).get('key');
  if (shown) sessionStorage.setItem(KEY, shown);
  const key = shown ?? sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}
