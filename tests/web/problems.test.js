import assert from 'node:assert/strict';
import { test } from 'node:test';

import { microphone, refused, unable, unexpected } from '../../web/call/problems.js';

test('each refusal of the microphone says what to do about it', () => {
  assert.match(microphone('NotAllowedError').remedy, /Allow it/);
  assert.match(microphone('NotFoundError').remedy, /Plug one in/);
  assert.match(microphone('NotReadableError').remedy, /Another program/);
  assert.match(microphone('SomethingNew').remedy, /SomethingNew/);
});

test('a full server, a missing key and a reason of the server’s own are told apart', () => {
  assert.match(refused(503, '').title, /busy/);
  assert.match(refused(401, '').remedy, /#key=/);
  assert.match(refused(400, '{"error": {"message": "no audio section"}}').remedy, /no audio section/);
});

test('a refusal without words, or with markup for words, still names its status', () => {
  for (const body of ['', 'null', '<html>', '{"error": "text"}', '{"error": {"message": 5}}']) {
    assert.match(refused(500, body).remedy, /500/);
  }
});

test('what nobody foresaw is shown in the browser’s own words', () => {
  assert.match(unexpected(new TypeError('bad SDP')).remedy, /bad SDP/);
  assert.match(unexpected('odd').remedy, /odd/);
});

test('only a secure page of a browser with WebRTC can call', () => {
  const able = { secure: true, media: true, webrtc: true };
  assert.equal(unable(able), null);
  assert.match(unable({ ...able, secure: false, media: false }).remedy, /localhost/);
  assert.match(unable({ ...able, media: false }).title, /cannot make calls/);
  assert.match(unable({ ...able, webrtc: false }).title, /cannot make calls/);
});
