// The official openai SDK for Node over a WebSocket, unmodified: a typed turn, a spoken one, a function's call, an error.
// Takes the server's https address; prints what the client saw as one JSON object. The microphone is a tone.

import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

const RATE = 24_000;
const [address, key] = process.argv.slice(2);
const seen = { events: [], errors: [], texts: [], audioBytes: 0, usage: [] };

const client = new OpenAI({ apiKey: key, baseURL: `${address}/v1` });
const realtime = await OpenAIRealtimeWS.create(client, { model: 'gpt-realtime' });
realtime.on('event', (event) => seen.events.push(event.type));
realtime.on('error', (error) => seen.errors.push(error.error?.code ?? String(error)));
realtime.on('response.output_audio.delta', ({ delta }) => { seen.audioBytes += Buffer.from(delta, 'base64').length; });

const done = () => new Promise((resolve) => {
  realtime.once('response.done', ({ response }) => {
    seen.texts.push(response.output.map((item) => item.content?.[0].transcript ?? item.content?.[0].text ?? `${item.name}(${item.arguments})`));
    seen.usage.push(response.usage.total_tokens);
    resolve(response);
  });
});

function say(seconds, amplitude) {
  const samples = Int16Array.from({ length: seconds * RATE }, (_, n) => amplitude * Math.sin((2 * Math.PI * 440 * n) / RATE));
  realtime.send({ type: 'input_audio_buffer.append', audio: Buffer.from(samples.buffer).toString('base64') });
}

async function type(text, response = {}) {
  const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
  realtime.send({ type: 'conversation.item.create', item });
  const over = done();
  realtime.send({ type: 'response.create', response });
  return over;
}

await new Promise((resolve) => { realtime.once('session.created', resolve); });
await type('Hello.', { output_modalities: ['text'] });
const spoken = done();
say(0.5, 8000);
say(1, 0);
await spoken;
const tools = [{ type: 'function', name: 'get_time', description: 'Tell the time.', parameters: { type: 'object' } }];
const { output } = await type('What time is it?', { tools });
realtime.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: output[0].call_id, output: 'noon' } });
const told = done();
realtime.send({ type: 'response.create' });
await told;
const refused = new Promise((resolve) => { realtime.once('error', resolve); });
realtime.send({ type: 'response.cancel' });
await refused;
const closed = new Promise((resolve) => { realtime.socket.once('close', resolve); });
realtime.close();
await closed;
console.log(JSON.stringify(seen));
