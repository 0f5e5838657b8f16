// @openai/agents-realtime over WebRTC in a browser, unmodified, with a function of its own. A test drives it by what it puts on `window`.

import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { microphone, say } from './microphone.js';


const seen = { events: [], errors: [], calls: [] };

const clock = tool({
  name: 'get_time',
  description: 'Tell the time.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
  execute: async (given) => { seen.calls.push(given); return 'noon'; },
});

async function begin(server) {
  const transport = new OpenAIRealtimeWebRTC({
    baseUrl: `${server}/v1/realtime/calls`,
    mediaStream: microphone,
    audioElement: document.querySelector('audio'),
  });
  const agent = new RealtimeAgent({ name: 'Test', instructions: 'Be brief.', tools: [clock] });
  const config = { audio: { input: { turnDetection: { type: 'server_vad', silenceDurationMs: 500 } } } };
  const session = new RealtimeSession(agent, { transport, config });
  session.transport.on('*', (event) => seen.events.push(event));
  session.on('error', (error) => seen.errors.push(JSON.stringify(error)));
  const secret = await (await fetch(`${server}/v1/realtime/client_secrets`, { method: 'POST' })).json();
  await session.connect({ apiKey: secret.value });
  Object.assign(window, { session, callId: transport.callId });
}

Object.assign(window, {
  begin,
  say,
  seen,
  count: (type) => seen.events.filter((event) => event.type === type).length,
  told: () => window.session.history.filter(({ type }) => type === 'message').map(({ role, status, content }) => (
    { role, status, text: content[0]?.text ?? content[0]?.transcript })),
  ready: true,
});
