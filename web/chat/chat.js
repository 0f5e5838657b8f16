/**
 * The voice chat page: binds the elements of index.html to a call. Everything that decides is elsewhere and pure
 * (phase.js, transcript.js, waterfall.js, level.js, problems.js); this file shows it.
 *
 * @import { Levels } from '../call/level.js'
 * @import { Phase } from '../call/phase.js'
 * @import { Problem } from '../call/problems.js'
 * @import { ServerEvent, Session } from '../call/events.js'
 */

import { Call, authorization } from '../call/call.js';
import { typed } from '../call/events.js';
import { Ear } from '../call/level.js';
import { MUTED, WORDS, follow, inCall, starting } from '../call/phase.js';
import { CallError, unable, unexpected } from '../call/problems.js';
import { Strip } from './strip.js';
import { EMPTY, append, heard } from './transcript.js';
import { TranscriptView } from './view.js';

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const voice = /** @type {HTMLAudioElement} */ (element('voice'));
const text = /** @type {HTMLInputElement} */ (element('text'));
const main = element('main');
const strip = new Strip(/** @type {HTMLCanvasElement} */ (element('strip')));
const view = new TranscriptView(element('transcript'));

/** @type {Phase} */
let phase = 'ready';
/** @type {Problem | null} */
let problem = null;
/** @type {Call | null} */
let call = null;
let transcript = EMPTY;
let muted = false;
let ear = new Ear();
/** The response that the next sound of the agent belongs to. */
let latest = '';
/** What was pressed to start the call, to be asked once it is up. */
let first = '';

/**
 * What the server says of itself before a call.
 *
 * @type {{ model: string, suggestions: string[], ice_servers: RTCIceServer[] }}
 */
let server = { model: '', suggestions: [], ice_servers: [] };

function show() {
  document.body.dataset['phase'] = phase;
  const { title, hint } = muted && phase === 'listening' ? MUTED : WORDS[phase];
  element('title').textContent = problem?.title ?? title;
  element('hint').textContent = problem?.remedy ?? hint;
  const busy = inCall(phase) || starting(phase);
  const button = element('call');
  button.textContent = busy ? (starting(phase) ? 'Cancel' : 'Hang up') : 'Start call';
  button.classList.toggle('primary', !busy);
  for (const id of ['mute', 'compose']) element(id).hidden = !inCall(phase);
  element('mute').setAttribute('aria-pressed', String(muted));
  element('mute').textContent = muted ? 'Unmute' : 'Mute';
}

/** @param {Phase} next */
function enter(next) {
  // Only the call's own beginning and end are announced: more would be spoken into the conversation.
  const announce = next !== phase && (!inCall(next) || !inCall(phase));
  phase = next;
  show();
  if (announce) element('announcement').textContent = `${element('title').textContent}. ${element('hint').textContent}`;
}

async function start() {
  become(EMPTY);
  ear = new Ear();
  problem = null;
  muted = false;
  strip.clear();
  enter('asking');
  call = new Call(voice, server.ice_servers, {
    connecting: () => enter('connecting'),
    event: receive,
    levels: measured,
    blocked: () => (element('unblock').hidden = false),
    unstable: (waiting) => enter(waiting ? 'reconnecting' : 'listening'),
    lost: fail,
  });
  try {
    await call.start();
  } catch (error) {
    fail(error instanceof CallError ? error.problem : unexpected(error));
  }
}

/** @param {Problem} reason */
function fail(reason) {
  problem = reason;
  over('failed');
}

function hangUp() {
  call?.hangUp();
  over('ended');
}

/** @param {'ended' | 'failed'} end */
function over(end) {
  call = null;
  first = '';
  element('unblock').hidden = true;
  if (element('compose').contains(document.activeElement)) element('call').focus();
  enter(end);
}

/** @param {ServerEvent} event */
function receive(event) {
  if (event.type === 'session.created') greeted(event.session);
  if (event.type === 'input_audio_buffer.speech_started') ear.reset();
  if (event.type === 'input_audio_buffer.speech_stopped') ear.turnEnded();
  if (event.type === 'response.created') latest = event.response.id;
  if (event.type === 'error') console.warn('The server says:', event.error.message);
  become(append(transcript, event));
  enter(follow(phase, event));
}

/**
 * Show the transcript; whoever reads its end keeps seeing its end.
 *
 * @param {import('./transcript.js').Transcript} next
 */
function become(next) {
  const atEnd = main.scrollHeight - main.scrollTop - main.clientHeight < 80;
  transcript = next;
  view.show(transcript.turns);
  element('welcome').hidden = transcript.turns.length > 0;
  if (atEnd) main.scrollTop = main.scrollHeight;
}

/** @param {Levels} levels */
function measured(levels) {
  strip.push(levels);
  const wait = ear.hear(levels);
  if (!wait) return;
  strip.wait(wait);
  become(heard(transcript, latest, (wait.to - wait.from) * 1000));
}

/** @param {string} words */
function write(words) {
  ear.reset();
  call?.send(typed(words));
}

/** A suggestion was pressed: ask it, and start a call for that where there is none. */
function suggest(/** @type {string} */ words) {
  if (inCall(phase)) write(words);
  else {
    first = words;
    if (!starting(phase)) void start();
  }
}

/** @param {Session} session */
function greeted({ model, audio }) {
  element('session').textContent = [model, audio.output?.voice].filter(Boolean).join(' · ');
  if (first) write(first);
  first = '';
}

async function prepare() {
  const reply = await fetch('/v1/parley', { headers: authorization() }).catch(() => null);
  if (reply?.ok) server = { ...server, ...(await reply.json()) };
  element('session').textContent = server.model;
  const chips = server.suggestions.map((words) => {
    const chip = document.createElement('button');
    chip.type = 'button';
    chip.textContent = words;
    chip.onclick = () => suggest(words);
    const item = document.createElement('li');
    item.append(chip);
    return item;
  });
  element('suggestions').querySelector('ul')?.replaceChildren(...chips);
  element('suggestions').hidden = chips.length === 0;
  show();
}

element('call').onclick = () => (inCall(phase) || starting(phase) ? hangUp() : void start());
element('mute').onclick = () => {
  muted = !muted;
  call?.mute(muted);
  show();
};
element('unblock').onclick = () => {
  void voice.play();
  element('unblock').hidden = true;
};
element('compose').onsubmit = (event) => {
  event.preventDefault();
  if (text.value.trim()) write(text.value.trim());
  text.value = '';
};
addEventListener('pagehide', () => call?.hangUp());

const missing = unable({
  secure: isSecureContext,
  media: 'mediaDevices' in navigator,
  webrtc: 'RTCPeerConnection' in globalThis,
});
if (missing) {
  element('call').toggleAttribute('disabled', true);
  fail(missing);
}
void prepare();
window.addEventListener('hashchange', prepare); // a key was added to the address

