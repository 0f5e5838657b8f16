/**
 * The latency page: binds the elements of latency.html to the server's turns.
 *
 * @import { State } from './feed.js'
 * @import { Budget, Filter, StageName, Turn } from './turns.js'
 */

import { element } from '../call/page.js';
import { authorization } from '../call/signalling.js';
import { ceiling, drawIncidents, drawPercentiles } from './chart.js';
import { show as showDetail } from './detail.js';
import { follow } from './feed.js';
import { RANKS, intervals, overTime, summary } from './percentiles.js';
import { Rows } from './rows.js';
import { OUTCOMES, STAGES, STAGE_NAMES, Turns, counts } from './turns.js';

const FIELDS = /** @type {(keyof Filter)[]} */ (['call', 'agent', 'model', 'outcome']);

const STATES = /** @type {Record<State, string>} */ ({
  connecting: 'Connecting …',
  live: 'Live',
  lost: 'The server cannot be reached. Trying again …',
  locked: 'The server wants its key: open this page with #key=… at the end of its address.',
});

/** Where a turn that is chosen is shown below the list, as in latency.css. */
const NARROW = matchMedia('(max-width: 60rem)');

/** Turns that come within this long of one another are shown together. */
const PATIENCE_MS = 200;

const turns = new Turns();
/** What came while the page was held. @type {Turn[]} */
let held = [];
let holding = false;
/** @type {Filter} */
const filter = { call: '', agent: '', model: '', outcome: '' };
/** @type {Budget} */
let budget = {};
/** @type {StageName | 'voice_to_voice'} */
let stage = 'voice_to_voice';
/** @type {readonly Turn[]} */
let shown = [];
let planned = false;
let following = new AbortController();

const rows = new Rows(element('turns'), (turn) => showDetail(element('detail'), turn));

/** Show it all anew soon, however many turns come meanwhile: percentiles of thousands are not for every frame. */
function plan(soon = PATIENCE_MS) {
  if (planned) return;
  planned = true;
  setTimeout(() => {
    planned = false;
    const start = performance.now();
    show();
    performance.measure('latency page', { start });
  }, soon);
}

function show() {
  shown = turns.select(filter);
  const latency = summary(points('voice_to_voice').map(({ value }) => value));
  for (const field of FIELDS) offer(field);
  for (const rank of RANKS) element(rank).textContent = latency ? String(Math.round(latency[rank])) : '–';
  showCounts();
  showStages();
  drawPercentiles(/** @type {HTMLCanvasElement} */ (element('chart')), overTime(points(stage)), budget[stage]);
  drawIncidents(/** @type {HTMLCanvasElement} */ (element('incidents')), incidents());
  const scale = ceiling(Math.max(1.25 * (budget.voice_to_voice ?? 0), Math.min(latency?.p99 ?? 1000, 10_000)));
  rows.show(shown, scale, budget);
  element('scale').textContent = `0 to ${scale} ms`;
  element('empty').hidden = shown.length > 0;
}

/** A stage of all turns that have it. */
function points(/** @type {typeof stage} */ name) {
  const found = [];
  for (const turn of shown) {
    const value = name === 'voice_to_voice' ? turn.v2v_ms : turn.stages[name];
    if (typeof value === 'number') found.push({ date: turn.date, value });
  }
  return found;
}

function showCounts() {
  const found = counts(shown);
  const within = found.audible ? `${Math.round(100 * (1 - found.over / found.audible))} %` : '–';
  const texts = {
    count: String(found.turns),
    within,
    hits: `${found.hits} used, ${found.withdrawn} in vain`,
    'false-starts': String(found.falseStarts),
    'barge-ins': String(found.bargeIns),
    underruns: String(found.underruns),
    loss: `${(100 * found.loss).toFixed(1)} %`,
  };
  for (const [id, text] of Object.entries(texts)) element(id).textContent = text;
}

/** What went wrong, over the same time as the percentiles. */
function incidents() {
  const bins = intervals(shown).map(({ from, to, items }) => ({ from, to, ...counts(items) }));
  const row = (/** @type {string} */ name, /** @type {'falseStarts' | 'bargeIns' | 'underruns' | 'loss'} */ of, scale = 1, unit = '') => ({
    name,
    unit,
    values: bins.map((bin) => ({ from: bin.from, to: bin.to, value: scale * bin[of] })),
  });
  return [row('False starts', 'falseStarts'), row('Barge-ins', 'bargeIns'), row('Underruns', 'underruns'), row('Loss', 'loss', 100, ' %')];
}

/** The table of stages, which also chooses what the chart shows. */
function showStages() {
  for (const name of /** @type {const} */ (['voice_to_voice', ...STAGE_NAMES])) {
    const found = summary(points(name).map(({ value }) => value));
    const row = element(`stage-${name}`);
    const broke = shown.filter(({ over }) => (name === 'voice_to_voice' ? over : over === name)).length;
    const cells = [...RANKS.map((rank) => found && Math.round(found[rank])), budget[name], broke];
    [...row.querySelectorAll('td')].forEach((cell, index) => (cell.textContent = String(cells[index] ?? '–')));
    row.querySelector('button')?.setAttribute('aria-pressed', String(name === stage));
  }
}

function makeStages() {
  const body = element('stages');
  for (const name of /** @type {const} */ (['voice_to_voice', ...STAGE_NAMES])) {
    const row = body.appendChild(document.createElement('tr'));
    row.id = `stage-${name}`;
    const head = row.appendChild(document.createElement('th'));
    head.scope = 'row';
    const button = head.appendChild(document.createElement('button'));
    button.type = 'button';
    const swatch = document.createElement('i');
    swatch.className = name;
    button.append(swatch, name === 'voice_to_voice' ? 'Voice to voice' : STAGES[name]);
    button.onclick = () => {
      stage = name;
      plan(0);
    };
    for (let cell = 0; cell < RANKS.length + 2; cell += 1) row.appendChild(document.createElement('td'));
  }
}

/** Offer what a filter can be, keeping what is chosen. */
function offer(/** @type {keyof Filter} */ field) {
  const select = /** @type {HTMLSelectElement} */ (element(field));
  const choices = turns.choices(field);
  if (filter[field] && !choices.includes(filter[field])) choices.push(filter[field]);
  const written = JSON.stringify(choices);
  if (select.dataset['choices'] === written || document.activeElement === select) return;
  select.dataset['choices'] = written;
  select.replaceChildren(new Option('All', ''), ...choices.map((choice) => new Option(label(field, choice), choice)));
  select.value = filter[field];
}

/**
 * @param {keyof Filter} field
 * @param {string} choice
 */
function label(field, choice) {
  if (field === 'outcome') return OUTCOMES[choice] ?? choice;
  return field === 'call' ? `…${choice.slice(-6)}` : choice;
}

/** @param {readonly Turn[]} taken */
function take(taken) {
  if (holding) held = [...held, ...taken];
  else turns.take(taken);
  element('hold').textContent = holding ? `Go on (${held.length} waiting)` : 'Hold';
  plan();
}

/** What the filters let through, as a file: the server's own export. */
async function save(/** @type {'json' | 'csv'} */ format) {
  const chosen = Object.entries(filter).filter(([, value]) => value);
  const query = new URLSearchParams([...chosen, ['format', format], ['limit', '5000']]);
  const reply = await fetch(`/traces?${query}`, { headers: authorization() }).catch(() => null);
  if (!reply?.ok) {
    tell('lost');
    return;
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await reply.blob());
  link.download = `turns.${format}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function bind() {
  makeStages();
  for (const field of FIELDS) {
    element(field).onchange = ({ target }) => {
      filter[field] = /** @type {HTMLSelectElement} */ (target).value;
      plan(0);
    };
  }
  element('hold').onclick = () => {
    holding = !holding;
    element('hold').setAttribute('aria-pressed', String(holding));
    const waiting = held;
    if (!holding) held = [];
    take(holding ? [] : waiting);
  };
  element('turns').addEventListener('click', () => {
    if (NARROW.matches) element('detail').scrollIntoView({ block: 'nearest' });
  });
  element('json').onclick = () => void save('json');
  element('csv').onclick = () => void save('csv');
  addEventListener('resize', () => plan());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plan());
}

/** @param {State} state */
function tell(state) {
  document.body.dataset['state'] = state;
  element('state').textContent = STATES[state];
}

/** Follow the turns, in the place of an earlier connection. */
function begin() {
  following.abort();
  following = new AbortController();
  const told = (/** @type {Budget} */ is) => {
    budget = is;
    plan();
  };
  void follow({ state: tell, budget: told, turns: take }, following.signal);
}

bind();
begin();
addEventListener('hashchange', begin); // a key was added to the address
addEventListener('pagehide', () => following.abort());
addEventListener('pageshow', ({ persisted }) => persisted && begin()); // from the browser's own cache
