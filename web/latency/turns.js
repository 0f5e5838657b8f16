/**
 * The turns that the page knows: kept in order of their dates, each as the server told it last. Pure.
 *
 * @typedef {'silence' | 'hearing' | 'first_word' | 'first_clause' | 'voice' | 'sending' | 'network'} StageName
 *
 * @import { Decision } from './probability.js'
 *
 * @typedef {{
 *   start: number, wait_ms: number, length_ms: number | null, end_of_turn: number | null, expected: string,
 *   decision: Decision | null,
 * }} Pause  `length_ms`: after so long the caller went on; null: it ended the turn. `decision`: null of a fixed wait.
 *
 * @typedef {{
 *   date: number, call: string, response: string, agent: string, model: string, voice: string,
 *   status: string, outcome: string, unasked: boolean, measured: 'ear' | 'server', v2v_ms: number | null, over: StageName | null,
 *   stages: Partial<Record<StageName, number>>,
 *   marks: Record<string, number>,
 *   wait_ms: number | null, end_of_turn: number | null, tries: number, hit: boolean, saved_ms: number,
 *   speech_ms: number | null, pauses: Pause[],
 *   withdrawn: Record<string, number>[],
 *   ear: Record<string, number | null> | null,
 *   media: Record<string, number>,
 * }} Turn  As `/traces` gives it. `unasked`: a greeting or a reminder, which nobody waited for. Times in milliseconds from the caller's last syllable, `date` in seconds since 1970.
 *
 * @typedef {{ call: string, agent: string, model: string, outcome: string }} Filter  Empty: any.
 * @typedef {Partial<Record<StageName | 'voice_to_voice', number>>} Budget  Milliseconds.
 */

/** What the caller waits for, in order, and what the page calls it. */
export const STAGES = /** @type {const} */ ({
  silence: 'Silence',
  hearing: 'Hearing',
  first_word: 'First word',
  first_clause: 'First clause',
  voice: 'Voice',
  sending: 'Sending',
  network: 'Network and ear',
});
export const STAGE_NAMES = /** @type {StageName[]} */ (Object.keys(STAGES));

export const OUTCOMES = /** @type {Record<string, string>} */ ({
  in_progress: 'being said',
  completed: 'completed',
  barge_in: 'barge-in',
  false_start: 'false start',
  cancelled: 'stopped by the client',
  incomplete: 'cut at its longest',
  failed: 'failed',
});

/** Turns that are kept; the oldest go first. */
const KEPT = 5000;

const TIME = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

/** The time of day, where the reader is, of seconds since 1970. */
export const clock = (/** @type {number} */ date) => TIME.format(1000 * date);

/** @param {Turn} turn */
export const key = (turn) => `${turn.call} ${turn.response}`;

export class Turns {
  /** @type {Turn[]} */
  #ordered = [];
  /** @type {Map<string, Turn>} */
  #known = new Map();

  /** Take turns that are new or have changed. */
  take(/** @type {readonly Turn[]} */ turns) {
    for (const turn of turns) {
      const old = this.#known.get(key(turn));
      // A date is computed anew each time, and may differ by a millisecond: a turn keeps its place.
      const told = old ? { ...turn, date: old.date } : turn;
      this.#known.set(key(turn), told);
      if (old) this.#ordered[this.#ordered.lastIndexOf(old)] = told;
      else this.#insert(told);
    }
    for (const { call, response } of this.#ordered.splice(0, this.#ordered.length - KEPT)) {
      this.#known.delete(`${call} ${response}`);
    }
  }

  /**
   * Those that a filter lets through, oldest first.
   *
   * @param {Filter} filter
   */
  select(filter) {
    const wanted = /** @type {[keyof Filter, string][]} */ (Object.entries(filter).filter(([, value]) => value));
    return this.#ordered.filter((turn) => wanted.every(([field, value]) => turn[field] === value));
  }

  /**
   * What a field can be chosen from, the newest first.
   *
   * @param {keyof Filter} field
   */
  choices(field) {
    return [...new Set(this.#ordered.map((turn) => turn[field]).reverse())].filter(Boolean);
  }

  /** @param {Turn} turn */
  #insert(turn) {
    let at = this.#ordered.length;
    while (at > 0 && /** @type {Turn} */ (this.#ordered[at - 1]).date > turn.date) at -= 1;
    this.#ordered.splice(at, 0, turn);
  }
}

/**
 * What a turn's row shows beside its time and its name, for those who do not see it.
 *
 * @param {Turn} turn
 */
export function sentence(turn) {
  const parts = [];
  if (turn.unasked) parts.push('said unasked');
  else if (turn.v2v_ms === null) parts.push('never audible');
  else parts.push(`${Math.round(turn.v2v_ms)} milliseconds ${turn.measured === 'ear' ? 'at the ear' : 'at the server'}`);
  if (turn.over) parts.push(`over budget, by ${STAGES[turn.over].toLowerCase()}`);
  if (turn.outcome !== 'completed') parts.push(OUTCOMES[turn.outcome] ?? turn.outcome);
  if (turn.hit) parts.push(`prepared ahead, ${Math.round(turn.saved_ms)} milliseconds saved`);
  if (turn.withdrawn.length) parts.push(`${turn.withdrawn.length} withdrawn`);
  return parts.join(', ');
}

/**
 * What happened in all of them.
 *
 * @param {readonly Turn[]} turns
 */
export function counts(turns) {
  const sum = (/** @type {(turn: Turn) => number} */ of) => turns.reduce((total, turn) => total + of(turn), 0);
  const received = sum((turn) => turn.media['received_packets'] ?? 0);
  const lost = sum((turn) => turn.media['lost_packets'] ?? 0);
  return {
    turns: turns.length,
    audible: sum((turn) => Number(turn.v2v_ms !== null)),
    over: sum((turn) => Number(turn.over !== null)),
    falseStarts: sum((turn) => Number(turn.outcome === 'false_start')),
    bargeIns: sum((turn) => Number(turn.outcome === 'barge_in')),
    hits: sum((turn) => Number(turn.hit)),
    withdrawn: sum((turn) => turn.withdrawn.length),
    underruns: sum((turn) => turn.media['underruns'] ?? 0),
    loss: received + lost ? lost / (received + lost) : 0,
  };
}
