import assert from 'node:assert/strict';
import { test } from 'node:test';

import { read, wish } from '../../web/chat/settings.js';

const ABOUT = { model: 'm', suggestions: [], ice_servers: [], agents: [{ id: 'desk' }], voices: ['en-gb'], resume_seconds: 0 };

test('what is stored is taken as far as it is of use', () => {
  assert.equal(read('{"agent": "desk", "push": true}').agent, 'desk');
  assert.equal(read('{"agent": "desk", "push": true}').push, true);
  for (const text of [null, '', 'null', '[1]', '{"push": "yes", "agent": 5, "other": 1}']) {
    assert.deepEqual(read(text), { agent: '', voice: '', instructions: '', microphone: '', speaker: '', push: false });
  }
});

test('a call is asked for what was set, and for nothing that the server does not have', () => {
  const settings = { ...read(null), agent: 'desk', voice: 'en-gb', instructions: 'Be brief.', microphone: 'usb' };
  const { agent, microphone, session } = wish(settings, ABOUT);
  assert.deepEqual([agent, microphone, session.instructions], ['desk', 'usb', 'Be brief.']);
  assert.equal(session.audio.output.voice, 'en-gb');
  const gone = wish({ ...settings, agent: 'left', voice: 'left', instructions: '' }, ABOUT);
  assert.equal('agent' in gone || 'instructions' in gone.session || 'output' in gone.session.audio, false);
});
