/**
 * The transcript as a list in the page. Takes turns, gives elements; words are set as text, never as markup, because
 * they come from a model.
 *
 * @import { AgentTurn, CallerTurn, Turn } from './transcript.js'
 */

import { stages, voiceToVoice } from '../waterfall.js';

export class TranscriptView {
  /** @type {Map<string, { turn: Turn, element: HTMLElement }>} */
  #shown = new Map();
  #list;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** @param {readonly Turn[]} turns */
  show(turns) {
    const keep = new Set(turns.map(key));
    for (const [id, { element }] of this.#shown) {
      if (keep.has(id)) continue;
      element.remove();
      this.#shown.delete(id);
    }
    for (const turn of turns) {
      const shown = this.#shown.get(key(turn));
      if (shown?.turn === turn) continue;
      const element = render(turn);
      const details = element.querySelector('details');
      if (details) details.open = shown?.element.querySelector('details')?.open ?? false;
      const focused = shown?.element.contains(document.activeElement);
      if (shown) shown.element.replaceWith(element);
      else this.#list.append(element);
      if (focused) element.querySelector('summary')?.focus();
      this.#shown.set(key(turn), { turn, element });
    }
  }
}

/** @param {Turn} turn */
const key = (turn) => `${turn.who} ${turn.id}`;

/** @param {Turn} turn */
function render(turn) {
  const item = node('li', `turn ${turn.who}`);
  item.append(node('span', 'who', turn.who === 'caller' ? 'You' : 'Agent'));
  item.append(turn.who === 'caller' ? caller(turn) : agent(turn));
  if (turn.who === 'agent' && (turn.marks || turn.ear !== null)) item.append(latency(turn.marks ?? {}, turn.ear));
  return item;
}

/** @param {CallerTurn} turn */
function caller(turn) {
  if (turn.text !== null) return node('p', 'words', turn.text);
  const words = node('p', 'words spoken');
  if (turn.seconds === null) words.append('you are speaking');
  else words.append(`you spoke · ${turn.seconds.toFixed(1)} s`);
  return words;
}

/** @param {AgentTurn} turn */
function agent(turn) {
  const words = node('p', `words ${turn.status}`, turn.said);
  if (turn.unheard) words.append(' ', node('s', '', turn.unheard.trim()));
  if (turn.status === 'thinking' && !turn.said) words.append(node('span', 'dots', 'thinking'));
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
 * @param {import('../waterfall.js').Stage} stage
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
