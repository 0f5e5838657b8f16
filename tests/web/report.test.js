/** What the browser tells the server of a turn: on the server's clock, and only what is new. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Clock } from '../../web/call/clock.js';
import { Reporter } from '../../web/call/report.js';

test('the quickest ping is believed, and old ones are forgotten', () => {
  const clock = new Clock();
  assert.equal(clock.error, Infinity);
  assert.ok(Number.isNaN(clock.atServer(0)));
  clock.add(0, 1030, 40); // 30 there, 10 back
  clock.add(100, 1105, 110);
  assert.equal(clock.error, 5);
  assert.equal(clock.atServer(200), 1200);
  for (let number = 0; number < 8; number += 1) clock.add(0, 2010, 20);
  assert.equal(clock.atServer(200), 2200);
});

/** @param {object} inbound */
const statistics = (inbound) =>
  new Map([
    ['a', { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.024 }],
    ['b', { type: 'inbound-rtp', kind: 'audio', ...inbound }],
  ]);

test('a turn is reported on the server’s clock, with what the sound went through since the last one', () => {
  const reporter = new Reporter();
  const counted = { packetsLost: 2, jitter: 0.003, concealedSamples: 960, jitterBufferDelay: 300, jitterBufferEmittedCount: 10_000 };
  assert.deepEqual(reporter.report('resp_1', 100, 600, statistics(counted)), [], 'clocks were not compared yet');
  const pings = reporter.take({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: 0, item_id: '' }, 50);
  assert.deepEqual(pings.map((text) => JSON.parse(text)), Array(3).fill({ type: 'parley.ping', client_ms: 50 }));
  assert.deepEqual(reporter.take({ type: 'parley.pong', client_ms: 50, server_ms: 1055 }, 60), []);
  const [first] = reporter.report('resp_1', 100, 600, statistics(counted));
  assert.deepEqual(JSON.parse(String(first)), {
    type: 'parley.heard', response_id: 'resp_1', spoken_ms: 1100, heard_ms: 1600, clock_error_ms: 5,
    round_trip_ms: 24, jitter_ms: 3, packets_lost: 2, concealed_ms: 20, jitter_buffer_ms: 30,
  });
  const later = { packetsLost: 2, jitter: 0.001, concealedSamples: 960, jitterBufferDelay: 700, jitterBufferEmittedCount: 20_000 };
  const [second] = reporter.report('resp_2', 5000, 5400, statistics(later));
  const { packets_lost, concealed_ms, jitter_buffer_ms } = JSON.parse(String(second));
  assert.deepEqual({ packets_lost, concealed_ms, jitter_buffer_ms }, { packets_lost: 0, concealed_ms: 0, jitter_buffer_ms: 40 });
});
