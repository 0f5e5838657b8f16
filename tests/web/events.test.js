import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parse, typed } from '../../web/call/events.js';

test('what is no event is nothing', () => {
  for (const text of ['', 'no', 'null', '5', '[]', '{}', '{"type": 5}', new ArrayBuffer(2), undefined]) {
    assert.equal(parse(text), null);
  }
});

test('events pass, known or not', () => {
  assert.deepEqual(parse('{"type": "new.thing", "n": 1}'), { type: 'new.thing', n: 1 });
});

test('typed words silence the agent, enter the conversation and ask for an answer, in that order', () => {
  const events = typed('a "word"').map((event) => JSON.parse(event));
  assert.deepEqual(events.map(({ type }) => type), [
    'output_audio_buffer.clear', 'conversation.item.create', 'response.create',
  ]);
  assert.deepEqual(events[1].item.content, [{ type: 'input_text', text: 'a "word"' }]);
});
