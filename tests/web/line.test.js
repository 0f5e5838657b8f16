import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KEYS, clock, dialled, frequencies, isKey, reached } from '../../web/phone/line.js';

const AGENTS = [{ id: 'desk', name: 'Desk', number: '100' }];

test('each key has two tones of its own, as telephones have', () => {
  assert.deepEqual(frequencies('1'), [697, 1209]);
  assert.deepEqual(frequencies('5'), [770, 1336]);
  assert.deepEqual(frequencies('#'), [941, 1477]);
  assert.equal(new Set(KEYS.map(([key]) => frequencies(key).join())).size, 12);
});

test('keys are the telephone’s, and no others', () => {
  assert.deepEqual(['0', '9', '*', '#', 'a', '', '12', 'Enter'].map(isKey), [true, true, true, true, false, false, false, false]);
});

test('a number grows key by key, to what can be dialled', () => {
  assert.equal(dialled(dialled('', '1'), '0'), '10');
  assert.equal(dialled('123456789012345', '6'), '123456789012345');
});

test('a number reaches the agent that has it, 0 the server itself, others nobody', () => {
  assert.equal(reached(AGENTS, '100').id, 'desk');
  assert.equal(reached(AGENTS, '0').id, '');
  assert.equal(reached(AGENTS, '10'), null);
  assert.equal(reached(AGENTS, ''), null);
});

test('a call’s time reads as a telephone shows it', () => {
  assert.deepEqual([0, 7_900, 61_000, 3_723_000].map(clock), ['0:00', '0:07', '1:01', '1:02:03']);
});
