/**
 * The voice chat page: binds the elements of index.html to a conversation.
 *
 * @import { About } from '../call/signalling.js'
 * @import { Phase } from '../call/phase.js'
 * @import { Session } from '../call/events.js'
 * @import { Transcript } from './turns.js'
 */

import { element, keepOnLeaving, missing, takeLeft } from '../call/page.js';
import { HELD, MUTED, PUSH, WORDS, inCall, starting } from '../call/phase.js';
import { Player } from '../call/player.js';
import { CallError } from '../call/problems.js';
import { UNKNOWN, describe } from '../call/signalling.js';
import { Sounds } from '../call/sounds.js';
import { Conversation } from './conversation.js';
import { SettingsDialog, wish } from './settings.js';
import { Strip } from './strip.js';
import { key } from './turns.js';
import { TranscriptView } from './view.js';

const TAKES_SPACE = 'a, button, input, textarea, select, summary, dialog';

const voice = /** @type {HTMLAudioElement} */ (element('voice'));
const text = /** @type {HTMLInputElement} */ (element('text'));
const main = element('main');
const talk = element('talk');
const strip = new Strip(/** @type {HTMLCanvasElement} */ (element('strip')));
const view = new TranscriptView(element('transcript'));
const player = new Player((playing) => view.playing(playing));
const sounds = new Sounds();
const dialog = new SettingsDialog(/** @type {HTMLDialogElement} */ (element('settings')), changed);
const chat = new Conversation(voice, sounds, {
  phase: show,
  transcript: write,
  session: greeted,
  sound: (sound) => strip.push(sound),
  wait: (wait) => strip.wait(wait),
  blocked: () => (element('unblock').hidden = false),
});
/** @type {About} */
let about = UNKNOWN;
/** @type {Phase} */
let shown = 'ready';

/** @param {Phase} phase */
function words(phase) {
  if (chat.push.held && phase !== 'reconnecting') return HELD;
  if (phase === 'listening' && chat.push.on) return PUSH;
  if (phase === 'listening' && chat.muted) return MUTED;
  return chat.problem ? { title: chat.problem.title, hint: chat.problem.remedy } : WORDS[phase];
}

/** @param {Phase} phase */
function show(phase) {
  const { title, hint } = words(phase);
  document.body.dataset['phase'] = phase;
  element('title').textContent = title;
  element('hint').textContent = hint;
  showControls(phase);
  // Only the call's own beginning and end are announced: more would be spoken into the conversation.
  if (phase !== shown && !(inCall(phase) && inCall(shown))) element('announcement').textContent = `${title}. ${hint}`;
  shown = phase;
}

/** @param {Phase} phase */
function showControls(phase) {
  const busy = inCall(phase) || starting(phase);
  const button = element('call');
  button.textContent = busy ? (starting(phase) ? 'Cancel' : 'Hang up') : 'Start call';
  button.classList.toggle('primary', !busy);
  if (!inCall(phase) && element('compose').contains(document.activeElement)) button.focus();
  element('compose').hidden = !inCall(phase);
  element('mute').hidden = !inCall(phase) || chat.push.on;
  element('mute').setAttribute('aria-pressed', String(chat.muted));
  talk.hidden = !inCall(phase) || !chat.push.on;
  talk.classList.toggle('held', chat.push.held);
  if (!busy) element('unblock').hidden = true;
}

/**
 * Show the transcript; whoever reads its end keeps seeing its end.
 *
 * @param {Transcript} transcript
 */
function write({ call, turns }) {
  const atEnd = main.scrollHeight - main.scrollTop - main.clientHeight < 80;
  view.show(turns, (turn) => sounds.has(`${call} ${key(turn)}`));
  element('welcome').hidden = turns.length > 0;
  if (atEnd) main.scrollTop = main.scrollHeight;
}

/** @param {Session} session */
function greeted({ agent, model, audio }) {
  const name = about.agents.find(({ id }) => id === agent)?.name;
  element('session').textContent = [name, model, audio.output?.voice].filter(Boolean).join(' · ');
}

/** @param {string} [first] */
async function start(first) {
  strip.clear();
  await chat.start(about, wish(dialog.settings, about), first);
}

/** A suggestion was pressed: ask it, and start a call for that where there is none. */
function suggest(/** @type {string} */ words) {
  if (inCall(chat.phase)) chat.write(words);
  else if (!chat.busy) void start(words);
}

/** @param {keyof import('./settings.js').Settings} name */
async function changed(name) {
  const { settings } = dialog;
  if (name === 'push') chat.pushToTalk(settings.push);
  if (name === 'instructions' && settings.instructions) chat.update({ instructions: settings.instructions });
  if (name === 'speaker') await voice.setSinkId?.(settings.speaker).catch(() => {});
  if (name === 'microphone') {
    await chat.listenTo(settings.microphone).catch((error) => {
      if (error instanceof CallError) element('hint').textContent = `${error.problem.title}. ${error.problem.remedy}`;
    });
  }
}

async function prepare() {
  about = await describe();
  dialog.offer(about);
  element('records').hidden = !about.records;
  element('session').textContent = about.model;
  const chips = about.suggestions.map((words) => {
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
}

/** Go on with the call that the last page of this tab left, if the server still keeps it. */
function resume() {
  const left = takeLeft('chat');
  if (left && Date.now() - left.left < 1000 * about.resume_seconds) {
    void chat.resume(about, wish(dialog.settings, about), left);
  }
}

function bind() {
  element('call').onclick = () => (chat.busy ? chat.hangUp() : void start());
  element('mute').onclick = () => chat.mute(!chat.muted);
  element('open').onclick = () => dialog.open();
  element('unblock').onclick = () => {
    void voice.play();
    element('unblock').hidden = true;
  };
  element('compose').onsubmit = (event) => {
    event.preventDefault();
    if (text.value.trim()) chat.write(text.value.trim());
    text.value = '';
  };
  element('transcript').onclick = ({ target }) => {
    const button = /** @type {Element} */ (target).closest('.replay');
    if (!(button instanceof HTMLElement)) return;
    const turn = button.dataset['turn'] ?? '';
    const sound = sounds.find(`${chat.transcript.call} ${turn}`);
    if (button.getAttribute('aria-pressed') === 'true') player.stop();
    else if (sound) player.play(turn, sound);
  };
  bindTalk();
  sounds.lend();
  keepOnLeaving('chat', () => chat.leave(Date.now()));
}

/** Push-to-talk: by pointer, by the button's own key, and by the space bar wherever it means nothing else. */
function bindTalk() {
  talk.onpointerdown = ({ pointerId }) => {
    talk.setPointerCapture(pointerId);
    chat.press();
  };
  talk.onpointerup = talk.onpointercancel = () => void chat.push.release();
  talk.oncontextmenu = (event) => event.preventDefault();
  // A press that has no length, by a screen reader or the enter key, stands for down and the next one for up.
  talk.addEventListener('click', ({ detail }) => {
    if (detail === 0) chat.push.held ? void chat.push.release() : chat.press();
  });
  addEventListener('keydown', (event) => {
    if (!talks(event)) return;
    event.preventDefault();
    if (!event.repeat) chat.press();
  });
  addEventListener('keyup', (event) => {
    if (!talks(event)) return;
    event.preventDefault();
    void chat.push.release();
  });
  addEventListener('blur', () => void chat.push.release());
}

/** Whether a key is the one to talk with, and the focus on nothing that takes it for itself. */
function talks(/** @type {KeyboardEvent} */ { code, target }) {
  if (code !== 'Space' || !chat.push.on || !inCall(chat.phase)) return false;
  return target === talk || !(target instanceof Element && target.closest(TAKES_SPACE));
}

async function begin() {
  bind();
  chat.push.on = dialog.settings.push;
  if (dialog.settings.speaker) void voice.setSinkId?.(dialog.settings.speaker).catch(() => {});
  const problem = missing();
  element('call').toggleAttribute('disabled', problem !== null);
  chat.problem = problem;
  show(problem ? 'failed' : 'ready');
  await prepare();
  if (!problem) resume();
}

addEventListener('hashchange', () => void prepare()); // a key was added to the address
void begin();
