/** The curve of a pause: that it says what the server decided by. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { words } from '../../web/latency/pause.js';
import { curve, ended, enough, normal } from '../../web/latency/probability.js';

/** Half a second of silence with nothing known: agent/turns/endpointing.py, MEDIAN and SPREAD. */
const PLAIN = { at_ms: 150, median_ms: 300, spread: 0.6, evidence: 0, allowed: 1 - normal(Math.log(500 / 300) / 0.6) };

test('the normal distribution', () => {
  for (const [z, below] of [[0, 0.5], [1, 0.841345], [-1.96, 0.024998], [3, 0.99865]]) {
    assert.ok(Math.abs(normal(z) - below) < 1e-6);
  }
});

test('without evidence it is enough after the configured silence, and surer the longer it lasts', () => {
  assert.ok(Math.abs(ended(PLAIN, 500) - enough(PLAIN)) < 1e-9);
  assert.equal(ended(PLAIN, 0), 0.5);
  const points = curve(PLAIN, 1000);
  assert.deepEqual(points.map(({ probability }) => probability).sort(), points.map(({ probability }) => probability));
});

test('evidence moves it from when it is known', () => {
  const sure = { ...PLAIN, at_ms: 200, evidence: 2 };
  assert.equal(ended(sure, 199), ended(PLAIN, 199));
  assert.ok(ended(sure, 200) > enough(sure));
  const before = curve(sure, 400).findLast(({ ms }) => ms < 200);
  assert.ok((before?.probability ?? 1) < 0.7, 'a step, not a slope');
  assert.ok(ended({ ...sure, evidence: -2 }, 500) < 0.5);
});

test('what was decided, in words', () => {
  const pause = { start: 0, wait_ms: 500, length_ms: null, end_of_turn: 0.9, expected: 'anything', decision: PLAIN };
  assert.match(words(pause), /over after 500 ms: 84 % sure is enough, 90 % by the engine after 150 ms, which is not believed yet/);
  const least = { ...pause, wait_ms: 250, decision: { ...PLAIN, evidence: 4 }, expected: 'yes_or_no' };
  assert.match(words(least), /the shortest wait that is allowed, 90 % by the engine after 150 ms, yes or no was asked for/);
  assert.match(words({ ...pause, wait_ms: 4000, length_ms: 800, decision: { ...PLAIN, evidence: -12 } }), /went on after 800 ms of 4000: the longest/);
  assert.match(words({ ...pause, end_of_turn: null, decision: null }), /a fixed silence/);
});
