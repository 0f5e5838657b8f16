// @pipecat-ai/client-js with the small-webrtc transport in a browser, unmodified, with a function of its own. A test drives it by what it
// puts on `window`. The browser's microphone is the page's: `getUserMedia` gives what the test says.

import { PipecatClient, RTVIEvent } from '@pipecat-ai/client-js';
import { SmallWebRTCTransport, WavMediaManager } from '@pipecat-ai/small-webrtc-transport';
import { microphone, say } from './microphone.js';

navigator.mediaDevices.getUserMedia = async () => microphone.clone();

const seen = { events: [], calls: [] };
const tools = [{ type: 'function', name: 'get_time', description: 'Tell the time.', parameters: { type: 'object' } }];

async function begin(server) {
  const client = new PipecatClient({
    transport: new SmallWebRTCTransport({ mediaManager: new WavMediaManager() }),
    enableMic: true,
    enableCam: false,
    callbacks: {
      onTrackStarted: (track, participant) => {
        if (!participant?.local) document.querySelector('audio').srcObject = new MediaStream([track]);
      },
    },
  });
  for (const type of Object.values(RTVIEvent)) client.on(type, (data) => seen.events.push({ type, data }));
  client.registerFunctionCallHandler('get_time', async ({ arguments: given }) => { seen.calls.push(given); return 'noon'; });
  const session = { tools, audio: { input: { turn_detection: { type: 'server_vad' } } } };
  const bot = await client.connect({ webrtcRequestParams: { endpoint: `${server}/api/offer`, requestData: { session } } });
  Object.assign(window, { client, bot });
}

Object.assign(window, {
  begin,
  say,
  seen,
  count: (type) => seen.events.filter((event) => event.type === type).length,
  said: (type) => seen.events.filter((event) => event.type === type).map(({ data }) => data),
  ready: true,
});
