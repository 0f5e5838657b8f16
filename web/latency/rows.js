/**
 * Thousands of turns as a list of waterfalls, newest first: only the rows in sight exist. Takes turns, gives the one that
 * is chosen. One scale for all rows, from the caller's last syllable.
 *
 * @import { Budget, StageName, Turn } from './turns.js'
 */

import { OUTCOMES, STAGES, STAGE_NAMES, clock, key, sentence } from './turns.js';

/** Rows beyond each edge, so that a quick scroll shows no gap. */
const SPARE = 6;

export class Rows {
  /** @type {readonly Turn[]} */
  #turns = [];
  /** @type {HTMLElement[]} */
  #pool = [];
  /** @type {string | null} */
  #chosen = null;
  #scale = 1;
  /** @type {Budget} */
  #budget = {};
  #drawn = false;
  #list;
  #space;
  #choose;

  /**
   * @param {HTMLElement} list  A listbox that scrolls.
   * @param {(turn: Turn | null) => void} choose
   */
  constructor(list, choose) {
    this.#list = list;
    this.#choose = choose;
    this.#space = list.appendChild(document.createElement('div'));
    this.#space.setAttribute('role', 'presentation');
    list.addEventListener('scroll', () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(list);
    list.onkeydown = (event) => this.#press(event);
    list.onclick = ({ target }) => {
      const row = /** @type {Element} */ (target).closest('.row');
      if (row instanceof HTMLElement) this.#select(Number(row.dataset['index']));
    };
  }

  /**
   * @param {readonly Turn[]} turns  Oldest first.
   * @param {number} scale  Milliseconds of the whole width.
   * @param {Budget} budget
   */
  show(turns, scale, budget) {
    // Whoever reads further down keeps seeing the same rows.
    const added = this.#list.scrollTop > 0 ? turns.length - this.#turns.length : 0;
    this.#turns = turns;
    this.#scale = scale;
    this.#budget = budget;
    this.#space.style.height = `${turns.length * this.#height}px`;
    if (added > 0) this.#list.scrollTop += added * this.#height;
    this.#draw();
    const chosen = this.#turns.find((turn) => key(turn) === this.#chosen);
    if (this.#chosen) this.#choose(chosen ?? null);
  }

  get #height() {
    return Number.parseFloat(getComputedStyle(this.#list).getPropertyValue('--row')) || 36;
  }

  /** The turn in a row, counted from the newest. */
  #at(/** @type {number} */ index) {
    return this.#turns[this.#turns.length - 1 - index];
  }

  #draw() {
    if (this.#drawn) return;
    this.#drawn = true;
    requestAnimationFrame(() => {
      this.#drawn = false;
      const start = performance.now();
      this.#render();
      performance.measure('latency rows', { start });
    });
  }

  #render() {
    const height = this.#height;
    const first = Math.max(0, Math.floor(this.#list.scrollTop / height) - SPARE);
    const count = Math.ceil(this.#list.clientHeight / height) + 2 * SPARE;
    while (this.#pool.length < count) this.#pool.push(this.#space.appendChild(blank()));
    this.#list.removeAttribute('aria-activedescendant');
    for (let index = first; index < first + this.#pool.length; index += 1) {
      // A row keeps its element while it is in sight: only those that come in are written anew.
      const row = /** @type {HTMLElement} */ (this.#pool[index % this.#pool.length]);
      const turn = index < first + count ? this.#at(index) : undefined;
      row.hidden = !turn;
      if (turn) this.#fill(row, turn, index, height);
    }
  }

  /**
   * @param {HTMLElement} row
   * @param {Turn} turn
   * @param {number} index
   * @param {number} height
   */
  #fill(row, turn, index, height) {
    const chosen = key(turn) === this.#chosen;
    row.style.transform = `translateY(${index * height}px)`;
    row.dataset['index'] = String(index);
    row.id = `row-${index}`;
    row.setAttribute('aria-selected', String(chosen));
    row.setAttribute('aria-posinset', String(index + 1));
    row.setAttribute('aria-setsize', String(this.#turns.length));
    if (chosen) this.#list.setAttribute('aria-activedescendant', row.id);
    const written = `${key(turn)} ${turn.status} ${turn.measured} ${turn.v2v_ms} ${this.#scale} ${this.#budget.voice_to_voice}`;
    if (row.dataset['written'] === written) return;
    row.dataset['written'] = written;
    const [time, who, bar, total, note, words] = /** @type {HTMLElement[]} */ ([...row.children]);
    if (!time || !who || !bar || !total || !note || !words) return;
    time.textContent = clock(turn.date);
    who.textContent = turn.agent || turn.call.slice(-6);
    draw(bar, turn, this.#scale, this.#budget);
    total.textContent = turn.v2v_ms === null ? '–' : String(Math.round(turn.v2v_ms));
    total.classList.toggle('over', turn.over !== null);
    note.textContent = remark(turn);
    note.dataset['outcome'] = turn.outcome;
    words.textContent = sentence(turn);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const page = Math.max(1, Math.floor(this.#list.clientHeight / this.#height) - 1);
    const steps = /** @type {Record<string, number>} */ ({
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    });
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const now = this.#turns.findIndex((turn) => key(turn) === this.#chosen);
    const from = now < 0 ? -1 : this.#turns.length - 1 - now;
    this.#select(Math.min(this.#turns.length - 1, Math.max(0, from + step)));
  }

  /** @param {number} index */
  #select(index) {
    const turn = this.#at(index);
    if (!turn) return;
    this.#chosen = key(turn);
    const [top, height] = [index * this.#height, this.#height];
    const { scrollTop, clientHeight } = this.#list;
    if (top < scrollTop) this.#list.scrollTop = top;
    if (top + height > scrollTop + clientHeight) this.#list.scrollTop = top + height - clientHeight;
    this.#render();
    this.#choose(turn);
  }
}

function blank() {
  const row = document.createElement('div');
  row.className = 'row';
  row.setAttribute('role', 'option');
  for (const name of ['time', 'who', 'bar', 'total', 'remark', 'unseen']) {
    const cell = row.appendChild(document.createElement('span'));
    cell.className = name;
    // A sentence says the same to those who do not see it.
    if (name === 'total' || name === 'remark') cell.setAttribute('aria-hidden', 'true');
  }
  const bar = /** @type {Element} */ (row.children[2]);
  for (const name of [...STAGE_NAMES, 'ahead', 'limit']) bar.appendChild(document.createElement('i')).className = name;
  return row;
}

/**
 * @param {HTMLElement} bar  With an element for each stage.
 * @param {Turn} turn
 * @param {number} scale
 * @param {Budget} budget
 */
function draw(bar, turn, scale, budget) {
  const place = (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => {
    const part = /** @type {HTMLElement} */ (bar.getElementsByClassName(name)[0]);
    part.style.left = `${(100 * start) / scale}%`;
    part.style.width = `${(100 * Math.max(0, Math.min(end, scale) - start)) / scale}%`;
  };
  let start = 0;
  for (const name of STAGE_NAMES) {
    const length = turn.stages[name] ?? 0;
    place(name, start, start + length);
    start += length;
  }
  const ahead = turn.hit ? turn.marks['started'] : undefined;
  const ready = Math.min(turn.marks['first_audio'] ?? 0, turn.marks['turn_ended'] ?? 0);
  place('ahead', ahead ?? 0, ahead === undefined ? 0 : ready);
  const limit = budget.voice_to_voice ?? 0;
  place('limit', limit, limit);
}

/** @param {Turn} turn */
function remark(turn) {
  if (turn.outcome !== 'completed') return OUTCOMES[turn.outcome] ?? turn.outcome;
  if (turn.unasked) return 'unasked';
  if (turn.over) return STAGES[/** @type {StageName} */ (turn.over)].toLowerCase();
  return '';
}
