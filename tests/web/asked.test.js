import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Asked } from '../../web/chat/asked.js';

const PONG = { type: 'parley.pong', client_ms: 0, server_ms: 0 };

test('what arrived is not sent again, what was lost with the connection is, in order', () => {
  const asked = new Asked();
  assert.deepEqual(asked.add(['a1', 'a2'], 1.5), ['a1', 'a2']);
  asked.add(['b']);
  asked.add(['c'], 2);
  assert.equal(asked.arrived(), 1.5);
  assert.deepEqual(asked.follow(PONG), [], 'the connection is the same');
  asked.returned();
  assert.equal(asked.arrived(), 0, 'the second had arrived, and is among what is told again');
  assert.deepEqual(asked.follow(PONG), ['c']);
  assert.deepEqual(asked.follow(PONG), [], 'once');
});

test('a turn that held no sound is not waited for', () => {
  const asked = new Asked();
  asked.add(['a'], 0.4);
  asked.follow({ type: 'error', error: { code: 'input_audio_buffer_commit_empty', message: '' } });
  asked.returned();
  assert.deepEqual(asked.follow(PONG), []);
});
