// @openai/agents-realtime over a WebSocket, unmodified, with a function of its own: it runs the function and asks for what follows.
// Takes the server's address; prints what the client saw as one JSON object.

import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';

const PATIENCE_MS = 20_000;
const [address] = process.argv.slice(2);
const seen = { events: [], errors: [], places: [], history: [] };

const weather = tool({
  name: 'weather',
  description: 'Tell the weather.',
  parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'], additionalProperties: false },
  execute: async ({ place }) => {
    seen.places.push(place);
    return `It is grey in ${place}.`;
  },
});
const session = new RealtimeSession(new RealtimeAgent({ name: 'Test', instructions: 'Be brief.', tools: [weather] }), {
  transport: 'websocket',
});
session.transport.on('*', (event) => seen.events.push(event.type));
session.on('error', (error) => seen.errors.push(error));

async function until(look) {
  const end = Date.now() + PATIENCE_MS;
  while (!look()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${look}: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const secret = await (await fetch(`${address}/v1/realtime/client_secrets`, { method: 'POST' })).json();
await session.connect({ apiKey: secret.value, url: `${address.replace('http', 'ws')}/v1/realtime?model=any` });
session.sendMessage('What is the weather in Bern?');
await until(() => session.history.at(-1)?.content?.[0]?.transcript?.endsWith('Bern.'));
await until(() => session.history.at(-1).status === 'completed');
seen.history = session.history.map(({ type, role, name, output, content }) => ({
  type, role, name, output, text: content?.[0]?.text ?? content?.[0]?.transcript,
}));
session.close();
console.log(JSON.stringify(seen));
