// @openai/agents-realtime over a WebSocket, unmodified: a typed turn, a spoken turn, and a turn spoken over the answer.
// Takes the server's address and the folder with what is said; prints what the client saw as one JSON object. The microphone sends
// faster than real time.

import { readFileSync } from 'node:fs';
import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';

const RATE = 24_000;
const WAV_HEADER_BYTES = 44;
const PATIENCE_MS = 20_000;
const [address, speech] = process.argv.slice(2);

const session = new RealtimeSession(new RealtimeAgent({ name: 'Test', instructions: 'Be brief.' }), {
  transport: 'websocket',
  config: { audio: { input: { turnDetection: { type: 'server_vad', silenceDurationMs: 500 } } } },
});
const seen = { events: [], errors: [], audioBytes: [0], interruptions: 0, history: [], transcripts: [], truncated: [] };
session.transport.on('*', (event) => {
  seen.events.push(event.type);
  if (event.type === 'response.done') seen.audioBytes.push(0);
  if (event.type === 'response.output_audio_transcript.done') seen.transcripts.push(event.transcript);
  if (event.type === 'conversation.item.truncated') seen.truncated.push(event.audio_end_ms);
});
session.on('error', (error) => seen.errors.push(error));
session.on('audio', ({ data }) => { seen.audioBytes[seen.audioBytes.length - 1] += data.byteLength; });
session.on('audio_interrupted', () => { seen.interruptions += 1; });

async function until(look) {
  const end = Date.now() + PATIENCE_MS;
  while (!look()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${look}: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const count = (type) => seen.events.filter((each) => each === type).length;

function say(name) {
  const samples = readFileSync(`${speech}/${name}.wav`).subarray(WAV_HEADER_BYTES);
  session.sendAudio(Uint8Array.from([...samples, ...new Uint8Array(2 * RATE)]).buffer);
}

const secret = await (await fetch(`${address}/v1/realtime/client_secrets`, { method: 'POST' })).json();
await session.connect({ apiKey: secret.value, url: `${address.replace('http', 'ws')}/v1/realtime?model=any` });
session.sendMessage('What is two plus two?');
await until(() => count('response.done') === 1);
say('story');
await until(() => seen.audioBytes[1] > 2 * RATE);
await new Promise((resolve) => setTimeout(resolve, 600)); // The client counts what it played by the clock.
say('sum');
await until(() => session.history[3]?.status === 'incomplete');
await until(() => count('response.done') === 3);
await until(() => session.history.slice(-2).every(({ content }) => content[0]?.transcript));
seen.history = session.history.map(({ role, status, content }) => ({ role, status, text: content[0].text ?? content[0].transcript }));
session.close();
console.log(JSON.stringify(seen));
