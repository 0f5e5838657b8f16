/**
 * The phone page: binds the elements of phone.html to a telephone.
 *
 * @import { About } from '../call/signalling.js'
 */

import { element, keepOnLeaving, missing, takeLeft } from '../call/page.js';
import { UNKNOWN, describe } from '../call/signalling.js';
import { Sounds } from '../call/sounds.js';
import { KEYS, clock, isKey, reached } from './line.js';
import { Telephone } from './telephone.js';

const CODECS = { opus: 'Opus, 48 kHz', pcmu: 'G.711, 8 kHz', pcma: 'G.711, 8 kHz' };

const voice = /** @type {HTMLAudioElement} */ (element('voice'));
const sounds = new Sounds();
const phone = new Telephone(voice, sounds, show, () => (element('unblock').hidden = false));
/** @type {About} */
let about = UNKNOWN;
let announced = '';

/** What the display says: where the call is, whom with, and what to do. */
function display() {
  const name = reached(about.agents, phone.number)?.name ?? '';
  const time = clock(performance.now() - phone.since);
  switch (phone.state) {
    case 'idle':
      return { status: name || (phone.number ? '' : 'Dial a number'), main: phone.number, detail: '' };
    case 'asking':
      return { status: 'Asking for the microphone', main: name, detail: 'Your browser wants to know whether this page may listen.' };
    case 'ringing':
      return { status: 'Ringing', main: name, detail: phone.number };
    case 'talking':
      return { status: phone.held ? `On hold · ${time}` : time, main: name, detail: phone.keys || CODECS[phone.codec] };
    case 'reconnecting':
      return { status: 'Reconnecting', main: name, detail: 'The call is kept. Nobody hears you until it goes on.' };
    case 'ended':
      return { status: 'Call ended', main: name, detail: phone.number };
    case 'failed':
      return { status: phone.problem?.title ?? '', main: name || phone.number, detail: phone.problem?.remedy ?? '' };
  }
}

function show() {
  const { status, main, detail } = display();
  document.body.dataset['state'] = phone.state;
  element('status').textContent = status;
  element('main').textContent = main;
  element('detail').textContent = detail;
  const call = element('call');
  call.setAttribute('aria-label', phone.busy ? 'Hang up' : 'Call');
  for (const [id, pressed] of /** @type {const} */ ([['mute', phone.muted], ['hold', phone.held]])) {
    element(id).hidden = !phone.busy;
    element(id).toggleAttribute('disabled', phone.state !== 'talking');
    element(id).setAttribute('aria-pressed', String(pressed));
  }
  element('hold').textContent = phone.held ? 'Resume' : 'Hold';
  element('erase').hidden = phone.busy || !phone.number;
  for (const name of element('names').querySelectorAll('button')) name.disabled = phone.busy;
  /** @type {HTMLInputElement} */ (element('opus')).checked = phone.codec === 'opus';
  if (!phone.busy) element('unblock').hidden = true;
  announce(phone.state === 'talking' ? `Connected with ${main}` : phone.state === 'idle' ? '' : `${status} ${main}. ${detail}`);
}

/** The beginning and end of a call, for those who do not see; more would be spoken into the conversation. */
function announce(/** @type {string} */ words) {
  if (words === announced) return;
  announced = words;
  element('announcement').textContent = words;
}

function callOrHangUp() {
  if (phone.busy) phone.hangUp();
  else void phone.dial(about, phone.number || '0');
}

/** Go on with the call that the last page of this tab left, or say that it is over. */
function resume() {
  const left = takeLeft('phone');
  if (left) void phone.resume(about, left, Date.now());
}

/** What the server says of itself: names to press, as a desk phone has them, and whether it records. */
function offer() {
  element('records').hidden = !about.records;
  const names = about.agents.map(({ name, number }) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(name, Object.assign(document.createElement('small'), { textContent: number }));
    button.onclick = () => void phone.dial(about, number);
    const item = document.createElement('li');
    item.append(button);
    return item;
  });
  element('names').replaceChildren(...names);
}

function showKeys() {
  const keys = KEYS.map(([key, letters]) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(key, ' ', Object.assign(document.createElement('small'), { textContent: letters }));
    if (key === '*') button.setAttribute('aria-label', 'star');
    if (key === '#') button.setAttribute('aria-label', 'pound');
    button.onclick = () => phone.press(key);
    return button;
  });
  element('keys').replaceChildren(...keys);
}

/** The computer's keyboard dials too; on a control that has the focus its own keys come first. */
function typed(/** @type {KeyboardEvent} */ event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (isKey(event.key)) phone.press(event.key);
  else if (event.key === 'Backspace') phone.erase();
  else if (event.key === 'Escape' && phone.busy) phone.hangUp();
  else if (event.key === 'Enter' && event.target === document.body) callOrHangUp();
}

async function begin() {
  showKeys();
  element('call').onclick = callOrHangUp;
  element('erase').onclick = () => phone.erase();
  element('mute').onclick = () => phone.mute(!phone.muted);
  element('hold').onclick = () => phone.hold(!phone.held);
  element('opus').onchange = ({ target }) => {
    void phone.speakThrough(/** @type {HTMLInputElement} */ (target).checked ? 'opus' : 'pcmu');
  };
  element('unblock').onclick = () => {
    void voice.play();
    element('unblock').hidden = true;
  };
  addEventListener('keydown', typed);
  keepOnLeaving('phone', () => phone.leave(Date.now()));
  sounds.lend();
  setInterval(() => phone.state === 'talking' && show(), 1000);
  const problem = missing();
  element('call').toggleAttribute('disabled', problem !== null);
  if (problem) [phone.problem, phone.state] = [problem, 'failed'];
  show();
  about = await describe();
  offer();
  show();
  if (!problem) resume();
}

addEventListener('hashchange', () => void describe().then((said) => ((about = said), offer())));
void begin();
