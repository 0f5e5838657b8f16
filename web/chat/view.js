/**
 * The transcript as a list in the page. Takes turns, gives elements; words are set as text, never as markup, because
 * they come from a model.
 *
 * @import { AgentTurn, CallerTurn, Turn } from './turns.js'
 */

import { stages, voiceToVoice } from './waterfall.js';
import { key } from './turns.js';

/** Parts of a turn that hold the focus over a change. */
const FOCUSABLE = ['.replay', 'summary'];

export class TranscriptView {
  /** @type {Map<string, { turn: Turn, audible: boolean, element: HTMLElement }>} */
  #shown = new Map();
  #list;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /**
   * @param {readonly Turn[]} turns
   * @param {(turn: Turn) => boolean} audible  Whether a turn can be heard again.
   */
  show(turns, audible) {
    const keep = new Set(turns.map(key));
    for (const [id, { element }] of this.#shown) {
      if (keep.has(id)) continue;
      element.remove();
      this.#shown.delete(id);
    }
    turns.forEach((turn) => this.#put(turn, audible(turn)));
  }

  /** Mark the turn that is heard again now. */
  playing(/** @type {string | null} */ playing) {
    for (const [id, { element }] of this.#shown) {
      element.querySelector('.replay')?.setAttribute('aria-pressed', String(id === playing));
    }
  }

  /**
   * @param {Turn} turn
   * @param {boolean} audible
   */
  #put(turn, audible) {
    const shown = this.#shown.get(key(turn));
    if (shown?.turn === turn && shown.audible === audible) return;
    const element = render(turn, audible);
    const details = element.querySelector('details');
    if (details) details.open = shown?.element.querySelector('details')?.open ?? false;
    const focused = FOCUSABLE.find((part) => shown?.element.querySelector(part)?.matches(':focus'));
    if (shown) shown.element.replaceWith(element);
    else this.#list.append(element);
    if (focused) /** @type {HTMLElement | null} */ (element.querySelector(focused))?.focus();
    this.#shown.set(key(turn), { turn, audible, element });
  }
}

/**
 * @param {Turn} turn
 * @param {boolean} audible
 */
function render(turn, audible) {
  const item = node('li', `turn ${turn.who}`);
  const who = node('span', 'who', turn.who === 'caller' ? 'You' : 'Agent');
  if (audible) who.append(replay(turn));
  item.append(who, turn.who === 'caller' ? caller(turn) : agent(turn));
  if (turn.who === 'agent' && (turn.marks || turn.ear !== null)) item.append(latency(turn.marks ?? {}, turn.ear));
  return item;
}

/** @param {Turn} turn */
function replay(turn) {
  const button = node('button', 'replay');
  button.setAttribute('type', 'button');
  button.setAttribute('aria-pressed', 'false');
  button.setAttribute('aria-label', turn.who === 'caller' ? 'Hear again what you said' : 'Hear this answer again');
  button.dataset['turn'] = key(turn);
  return button;
}

/** @param {CallerTurn} turn */
function caller(turn) {
  if (turn.kind === 'typed') return node('p', 'words', turn.text);
  const words = node('p', turn.text ? 'words' : 'words spoken', turn.text);
  if (turn.text) words.append(' ', node('span', 'note', 'transcript'));
  else if (turn.kind === 'silent') words.append('you were quiet');
  else if (turn.seconds === null) words.append('you are speaking');
  else words.append(turn.seconds ? `you spoke · ${turn.seconds.toFixed(1)} s` : 'you spoke');
  return words;
}

/** @param {AgentTurn} turn */
function agent(turn) {
  const said = turn.said.slice(0, turn.shown ?? turn.said.length).trimEnd();
  const words = node('p', `words ${turn.status}`, said);
  if (turn.unheard) words.append(' ', node('s', '', turn.unheard.trim()));
  if (!said && ['thinking', 'speaking', 'done'].includes(turn.status)) words.append(node('span', 'dots', 'thinking'));
  if (turn.status === 'interrupted') words.append(' ', node('span', 'note', 'interrupted'));
  if (turn.problem !== null) words.append(' ', node('span', 'note', `no answer: ${turn.problem}`));
  return words;
}

/**
 * @param {import('../call/events.js').Marks} marks
 * @param {number | null} ear
 */
function latency(marks, ear) {
  const details = document.createElement('details');
  details.className = 'latency';
  const summary = document.createElement('summary');
  const server = voiceToVoice(marks);
  if (ear !== null) summary.append(figure(ear, 'at your ear'));
  if (server !== null) summary.append(figure(server, 'at the server'), stack(marks));
  const list = node('dl', '');
  for (const stage of stages(marks)) row(list, stage);
  const typed = server !== null && !('speech_stopped' in marks);
  details.append(summary, node('p', '', typed ? 'after your message' : 'after your last word'), list);
  return details;
}

/**
 * @param {number} milliseconds
 * @param {string} place  Where it was measured.
 */
function figure(milliseconds, place) {
  const line = node('span', 'figure', `${Math.round(milliseconds)} ms `);
  line.append(node('small', '', place));
  return line;
}

/** @param {import('../call/events.js').Marks} marks */
function stack(marks) {
  const bar = node('span', 'stack');
  bar.setAttribute('aria-hidden', 'true');
  for (const { name, start, end } of stages(marks)) {
    const part = node('i', name);
    part.style.flexGrow = String(end - start);
    bar.append(part);
  }
  return bar;
}

/**
 * @param {HTMLElement} list
 * @param {import('./waterfall.js').Stage} stage
 */
function row(list, { name, label, start, end }) {
  const term = node('dt', '');
  term.append(node('i', name), label);
  list.append(term, node('dd', '', `${Math.round(end - start)} ms`));
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
function node(tag, className, text = '') {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
