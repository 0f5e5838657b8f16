/**
 * The stages of a turn from its marks: what the caller waited for, in order. Pure. Times are milliseconds from the first
 * mark, measured by the server on one clock; the marks are those of agent/traces/trace.py.
 *
 * @import { Marks } from '../call/events.js'
 * @typedef {{ name: string, label: string, start: number, end: number }} Stage
 */

/** Each stage ends at its mark and starts where the one before it ended. */
const STAGES = /** @type {const} */ ([
  ['turn_ended', 'silence'],
  ['prefill_done', 'hearing'],
  ['first_token', 'first word'],
  ['first_chunk', 'first clause'],
  ['first_audio', 'voice'],
  ['playout_started', 'sending'],
]);

/**
 * The stages up to the first audible sample. Marks that are absent leave no stage, nor does the first, from which all
 * are counted; work that was finished before the
 * stage in front of it (an answer prepared ahead) has no length, because nobody waited for it.
 *
 * @param {Marks} marks
 * @returns {Stage[]}
 */
export function stages(marks) {
  const found = [];
  let start = 0;
  for (const [name, label] of STAGES) {
    const mark = marks[name];
    if (mark === undefined || mark === 0) continue;
    const end = Math.max(start, mark);
    found.push({ name, label, start, end });
    start = end;
  }
  return found;
}

/**
 * Voice-to-voice latency as the server sees it: the caller's last speech sample (of a typed turn: its arrival) to the
 * first audible sample of the answer; null for a turn that never became audible.
 *
 * @param {Marks} marks
 * @returns {number | null}
 */
export function voiceToVoice(marks) {
  return marks['playout_started'] ?? null;
}
