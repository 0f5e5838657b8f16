/** The latency page's pure parts: percentiles, the kept turns, the stream's events. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ceiling } from '../../web/latency/chart.js';
import { parse } from '../../web/latency/feed.js';
import { intervals, overTime, percentile, summary } from '../../web/latency/percentiles.js';
import { Turns, counts, sentence } from '../../web/latency/turns.js';

const ANY = { call: '', agent: '', model: '', outcome: '' };

/** @param {object} fields */
const turn = (fields) =>
  /** @type {import('../../web/latency/turns.js').Turn} */ ({
    date: 1000, call: 'call', response: 'resp', agent: 'a', model: 'm', voice: 'v', status: 'completed',
    outcome: 'completed', measured: 'ear', v2v_ms: 500, over: null, stages: {}, marks: {}, wait_ms: 300,
    end_of_turn: 0.9, tries: 1, hit: false, saved_ms: 0, pauses: [], withdrawn: [], ear: null, media: {}, ...fields,
  });

test('percentiles are values that occurred, by nearest rank', () => {
  assert.equal(percentile([1, 2, 3, 4], 50), 2);
  assert.equal(percentile([7], 99), 7);
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  assert.deepEqual(summary(values), { count: 200, p50: 100, p90: 180, p95: 190, p99: 198 });
  assert.equal(summary([]), null);
});

test('over time, every turn counts once, and intervals without turns are left out', () => {
  const points = Array.from({ length: 120 }, (_, index) => ({ date: index < 60 ? index : 1000 + index, value: index }));
  const intervals = overTime(points);
  assert.equal(intervals.reduce((sum, { count }) => sum + count, 0), 120);
  assert.ok(intervals.length < 10, 'the gap has no intervals');
  assert.equal(intervals[0]?.from, 0);
  assert.equal(intervals.at(-1)?.to, 1119);
  assert.deepEqual(overTime([]), []);
  assert.equal(overTime([{ date: 5, value: 1 }]).length, 1);
});

test('intervals hold everything once, in equal lengths, empty ones too', () => {
  const made = intervals(Array.from({ length: 48 }, (_, index) => ({ date: index < 24 ? index : 100 + index })));
  assert.deepEqual(made.map(({ items }) => items.length), [24, 0, 0, 24]);
  assert.equal(made[1]?.from, made[0]?.to);
  assert.deepEqual(intervals([]).map(({ items }) => items), [[]]);
});

test('a turn that is told again keeps its place, and a late one finds it', () => {
  const turns = new Turns();
  turns.take([turn({ response: '1', date: 1 }), turn({ response: '3', date: 3 })]);
  turns.take([turn({ response: '1', date: 9, v2v_ms: 700 }), turn({ response: '2', date: 2 })]);
  const shown = turns.select(ANY);
  assert.deepEqual(shown.map(({ response }) => response), ['1', '2', '3']);
  assert.equal(shown[0]?.v2v_ms, 700);
});

test('only so many turns are kept', () => {
  const turns = new Turns();
  turns.take(Array.from({ length: 5010 }, (_, index) => turn({ response: String(index), date: index })));
  assert.equal(turns.select(ANY).length, 5000);
  assert.equal(turns.select(ANY)[0]?.response, '10');
});

test('filters let through what matches all of them', () => {
  const turns = new Turns();
  turns.take([turn({ response: '1', agent: 'x' }), turn({ response: '2', agent: 'y', outcome: 'failed' })]);
  assert.deepEqual(turns.select({ ...ANY, agent: 'y' }).map(({ response }) => response), ['2']);
  assert.deepEqual(turns.select({ ...ANY, agent: 'x', outcome: 'failed' }), []);
  assert.deepEqual(turns.choices('agent'), ['y', 'x']);
});

test('what happened is counted', () => {
  const found = counts([
    turn({ over: 'voice', hit: true, withdrawn: [{}, {}], media: { received_packets: 97, lost_packets: 3, underruns: 1 } }),
    turn({ outcome: 'false_start', v2v_ms: null }),
    turn({ outcome: 'barge_in' }),
  ]);
  assert.deepEqual(found, {
    turns: 3, audible: 2, over: 1, falseStarts: 1, bargeIns: 1, hits: 1, withdrawn: 2, underruns: 1, loss: 0.03,
  });
});

test('a row in words', () => {
  const words = sentence(turn({ over: 'first_word', outcome: 'barge_in', hit: true, saved_ms: 120.4, withdrawn: [{}] }));
  assert.match(words, /500 milliseconds at the ear, over budget, by first word, barge-in, prepared ahead, 120 milli/);
  assert.match(sentence(turn({ v2v_ms: null })), /never audible/);
  assert.match(sentence(turn({ v2v_ms: null, unasked: true })), /said unasked/);
});

test('a stream is read in whole events, whatever the pieces', () => {
  const text = 'event: history\ndata: [1,2]\n\n:\n\nevent: turn\ndata: {"a":"b"}\n\nevent: tu';
  const { events, left } = parse(text);
  assert.deepEqual(events, [{ type: 'history', data: [1, 2] }, { type: 'turn', data: { a: 'b' } }]);
  assert.equal(left, 'event: tu');
});

test('the scale is a round number that holds the value', () => {
  assert.deepEqual([1, 99, 101, 640, 1000, 1450].map(ceiling), [1, 100, 150, 800, 1000, 1500]);
});
