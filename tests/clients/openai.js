// The official openai SDK for Node over a WebSocket, unmodified: a typed turn, a spoken one that is interrupted by another, a function's
// call, an error. Takes the server's https address and the folder with what is said; prints what the client saw as one JSON object.

import { readFileSync } from 'node:fs';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

const RATE = 24_000;
const WAV_HEADER_BYTES = 44;
const [address, speech] = process.argv.slice(2);
const seen = { events: [], errors: [], texts: [], audioBytes: [], usage: [], truncated: 0 };

let audioBytes = 0;
const client = new OpenAI({ apiKey: 'none', baseURL: `${address}/v1` });
const realtime = await OpenAIRealtimeWS.create(client, { model: 'gpt-realtime' });
realtime.on('event', (event) => seen.events.push(event.type));
realtime.on('error', (error) => seen.errors.push(error.error?.code ?? String(error)));
realtime.on('response.output_audio.delta', ({ delta }) => { audioBytes += Buffer.from(delta, 'base64').length; });

const done = () => new Promise((resolve) => {
  realtime.once('response.done', ({ response }) => {
    seen.texts.push(response.output.map((item) => item.content?.[0].transcript ?? item.content?.[0].text ?? `${item.name}(${item.arguments})`));
    seen.usage.push(response.usage.total_tokens);
    seen.audioBytes.push(audioBytes);
    audioBytes = 0;
    resolve(response);
  });
});

const next = (type) => new Promise((resolve) => { realtime.once(type, resolve); });

function say(name) {
  const samples = Buffer.concat([readFileSync(`${speech}/${name}.wav`).subarray(WAV_HEADER_BYTES), Buffer.alloc(2 * RATE)]);
  realtime.send({ type: 'input_audio_buffer.append', audio: samples.toString('base64') });
}

async function type(text, response = {}) {
  const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
  realtime.send({ type: 'conversation.item.create', item });
  const over = done();
  realtime.send({ type: 'response.create', response });
  return over;
}

await next('session.created');
await type('What is two plus two?', { output_modalities: ['text'] });
const story = done();
say('story');
const { item_id } = await next('response.output_audio.delta');
say('sum');
await story;
await done();
realtime.send({ type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms: 700 });
seen.truncated = (await next('conversation.item.truncated')).audio_end_ms;
const tools = [{ type: 'function', name: 'get_time', description: 'Tell the time.', parameters: { type: 'object' } }];
const { output } = await type('What time is it?', { tools });
realtime.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: output[0].call_id, output: 'noon' } });
const told = done();
realtime.send({ type: 'response.create' });
await told;
const refused = next('error');
realtime.send({ type: 'response.cancel' });
await refused;
const closed = new Promise((resolve) => { realtime.socket.once('close', resolve); });
realtime.close();
await closed;
console.log(JSON.stringify(seen));
