/**
 * One turn in full: the waterfall with all that was decided and tried before and beside it, the figures in words, and its
 * sound.
 *
 * @import { StageName, Turn } from './turns.js'
 */

import { Player } from '../call/player.js';
import { find } from './listen.js';
import { figure } from './pause.js';
import { OUTCOMES, STAGES, clock, key } from './turns.js';

const MARKS = /** @type {Record<string, string>} */ ({
  spoken: 'Last syllable, at the caller',
  speech_stopped: 'Last syllable, as the server hears it',
  started: 'Work on the answer begins',
  prefill_done: 'The engine has heard the turn',
  turn_ended: 'The turn is over',
  first_token: 'First word written',
  first_chunk: 'First clause written',
  first_audio: 'First piece of speech made',
  playout_started: 'First sample leaves',
  heard: 'First sound at the ear',
  overlap: 'The agent falls silent for a sound',
  interrupted: 'Interrupted',
  done: 'Over',
});
/** The end of an answer lies seconds after its beginning, and would crush what the picture is about. */
const AFTERWARDS = new Set(['overlap', 'interrupted', 'done']);

/** @type {Turn | null} */
let shown = null;
const player = new Player(() => document.querySelectorAll('#detail .listen').forEach(showPlaying));

/**
 * @param {HTMLElement} panel
 * @param {Turn | null} turn
 */
export function show(panel, turn) {
  if (turn === shown) return; // what has the focus keeps it
  if (!turn || !shown || key(turn) !== key(shown)) player.stop();
  shown = turn;
  panel.hidden = !turn;
  if (!turn) return;
  panel.replaceChildren(
    node('h2', '', `${clock(turn.date)} · ${turn.call} · ${turn.response}`),
    headline(turn),
    listen(turn),
    picture(turn),
    pauses(turn),
    table('Marks, from the last syllable', Object.entries(turn.marks).map(([name, ms]) => [MARKS[name] ?? name, time(ms)])),
    table('Prepared ahead', prepared(turn)),
    table('Sound', sound(turn)),
  );
}

/** @param {Turn} turn */
function headline(turn) {
  const silent = turn.unasked ? 'Said unasked' : 'Never audible';
  const line = node('p', 'figure', turn.v2v_ms === null ? silent : `${Math.round(turn.v2v_ms)} ms`);
  const words = [turn.measured === 'ear' ? 'measured at both ends' : 'as the server sees it', OUTCOMES[turn.outcome] ?? ''];
  if (turn.over) words.push(`over budget by ${STAGES[/** @type {StageName} */ (turn.over)].toLowerCase()}`);
  line.append(node('small', '', words.filter(Boolean).join(' · ')));
  return line;
}

/** The button that plays the turn, and where its sound comes from or why there is none. */
function listen(/** @type {Turn} */ turn) {
  const line = node('p', 'sound', '');
  const button = node('button', 'listen', '');
  button.setAttribute('type', 'button');
  showPlaying(button);
  const said = node('span', '', 'Both sides, with the wait between them.');
  said.setAttribute('role', 'status');
  button.onclick = async () => {
    if (player.playing) {
      player.stop();
      return;
    }
    said.textContent = 'Looking for its sound …';
    const found = await find(turn);
    if (!shown || key(shown) !== key(turn)) return;
    said.textContent = 'missing' in found ? found.missing : `From ${found.from}.`;
    if ('buffer' in found) player.play(key(turn), found.buffer);
  };
  line.append(button, ' ', said);
  return line;
}

function showPlaying(/** @type {Element} */ button) {
  button.setAttribute('aria-pressed', String(player.playing !== null));
  button.textContent = player.playing ? 'Stop' : 'Hear it';
}

/** @param {Turn} turn */
function pauses(turn) {
  const section = node('section', 'pauses', '');
  if (turn.pauses.length) section.append(node('h3', '', 'Is the turn over?'), ...turn.pauses.map(figure));
  return section;
}

/** @param {Turn} turn */
function prepared(turn) {
  /** @type {[string, string][]} */
  const rows = [];
  for (const marks of turn.withdrawn) {
    const length = (marks['done'] ?? 0) - (marks['started'] ?? 0);
    const reached = Object.keys(marks).filter((name) => name !== 'done').at(-1) ?? 'started';
    rows.push([`Prepared in vain for ${Math.round(length)} ms`, `up to: ${(MARKS[reached] ?? reached).toLowerCase()}`]);
  }
  if (turn.hit) rows.push(['The prepared answer was used', `${Math.round(turn.saved_ms)} ms saved`]);
  return rows;
}

/** @param {Turn} turn */
function sound(turn) {
  const { ear, media } = turn;
  /** @type {[string, number | null | undefined, string][]} */
  const rows = [
    ['Clock comparison right within', ear?.['clock_error_ms'], 'ms'],
    ['Round trip', ear?.['round_trip_ms'] ?? media['sent_round_trip_ms'], 'ms'],
    ['Jitter at the ear', ear?.['jitter_ms'] ?? media['sent_jitter_ms'], 'ms'],
    ['Jitter buffer at the ear', ear?.['jitter_buffer_ms'], 'ms'],
    ['Packets lost to the ear', ear?.['packets_lost'] ?? media['missed_packets'], ''],
    ['Sound made up at the ear', ear?.['concealed_ms'], 'ms'],
    ['Jitter from the caller', media['received_jitter_ms'], 'ms'],
    ['Packets lost from the caller', media['lost_packets'], ''],
    ['… heard from the copy in the next', media['recovered_packets'], ''],
    ['… made up', media['concealed_packets'], ''],
    ['Underruns', media['underruns'], ''],
  ];
  return rows.flatMap(([name, value, unit]) =>
    value === null || value === undefined ? [] : [/** @type {[string, string]} */ ([name, `${round(value)} ${unit}`.trim()])],
  );
}

/** Everything of a turn up to its first sound on one time line; the tables below say the same in words. */
function picture(/** @type {Turn} */ turn) {
  const marks = Object.entries(turn.marks).filter(([name]) => !AFTERWARDS.has(name));
  const starts = [0, ...turn.pauses.map(({ start }) => start), ...turn.withdrawn.map((tried) => tried['started'] ?? 0)];
  const [from, to] = [Math.min(...starts), Math.max(1, ...marks.map(([, ms]) => ms))];
  const at = (/** @type {number} */ ms) => `${(100 * (ms - from)) / (to - from)}%`;
  const picture = node('div', 'picture', '');
  picture.setAttribute('aria-hidden', 'true');
  const lane = (/** @type {string} */ label) => {
    const line = node('div', 'lane', '');
    line.append(node('span', '', label));
    const bar = node('span', 'bar', '');
    line.append(bar);
    picture.append(line);
    return (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => {
      const part = node('i', name, '');
      part.style.left = at(start);
      part.style.width = `calc(${at(end)} - ${at(start)})`;
      bar.append(part);
    };
  };
  if (turn.pauses.length) {
    const put = lane('pauses');
    for (const { start, length_ms, wait_ms } of turn.pauses) put('pause', start, Math.min(start + (length_ms ?? wait_ms), to));
  }
  for (const tried of turn.withdrawn) lane('in vain')('vain', tried['started'] ?? 0, tried['done'] ?? 0);
  if (turn.hit) lane('ahead')('ahead', turn.marks['started'] ?? 0, Math.min(turn.marks['first_audio'] ?? to, to));
  const put = lane('waited for');
  let start = 0;
  for (const [name, length] of Object.entries(turn.stages)) {
    put(name, start, start + length);
    start += length;
  }
  return picture;
}

/**
 * @param {string} title
 * @param {string[][]} rows
 */
function table(title, rows) {
  const section = node('section', '', '');
  if (!rows.length) return section;
  const list = node('dl', '', '');
  for (const [term, value] of rows) list.append(node('dt', '', term ?? ''), node('dd', '', value ?? ''));
  section.append(node('h3', '', title), list);
  return section;
}

const round = (/** @type {number} */ value) => Math.round(10 * value) / 10;
const time = (/** @type {number} */ ms) => `${ms < 0 ? '−' : ''}${Math.abs(round(ms))} ms`;

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} text
 */
function node(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
