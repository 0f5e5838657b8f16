// @openai/agents-realtime over a WebSocket, unmodified: a typed turn, a spoken turn, and a turn spoken over the answer.
// Takes the server's address; prints what the client saw as one JSON object. The microphone is a tone, sent faster than real time.

import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';

const RATE = 24_000;
const PATIENCE_MS = 10_000;
const [address] = process.argv.slice(2);

const session = new RealtimeSession(new RealtimeAgent({ name: 'Test', instructions: 'Be brief.' }), {
  transport: 'websocket',
  config: { audio: { input: { turnDetection: { type: 'server_vad', silenceDurationMs: 500 } } } },
});
const seen = { events: [], errors: [], audioBytes: 0, interruptions: 0, history: [] };
session.transport.on('*', (event) => seen.events.push(event.type));
session.on('error', (error) => seen.errors.push(error));
session.on('audio', ({ data }) => { seen.audioBytes += data.byteLength; });
session.on('audio_interrupted', () => { seen.interruptions += 1; });

async function until(look) {
  const end = Date.now() + PATIENCE_MS;
  while (!look()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${look}: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const count = (type) => seen.events.filter((each) => each === type).length;

function say(seconds, amplitude) {
  session.sendAudio(Int16Array.from({ length: seconds * RATE }, (_, n) => amplitude * Math.sin((2 * Math.PI * 440 * n) / RATE)).buffer);
}

const secret = await (await fetch(`${address}/v1/realtime/client_secrets`, { method: 'POST' })).json();
await session.connect({ apiKey: secret.value, url: `${address.replace('http', 'ws')}/v1/realtime?model=any` });
session.sendMessage('Hello.');
await until(() => count('response.done') === 1);
say(0.5, 8000);
say(1, 0);
await until(() => count('response.done') === 2);
await new Promise((resolve) => setTimeout(resolve, 400)); // The client counts what it played by the clock.
say(0.5, 8000);
await until(() => session.history[3]?.status === 'incomplete');
say(1, 0);
await until(() => count('response.done') === 3);
await until(() => session.history.at(-1).content[0]?.transcript);
seen.history = session.history.map(({ role, status, content }) => ({ role, status, text: content[0].text ?? content[0].transcript }));
session.close();
console.log(JSON.stringify(seen));
