// A page's microphone: silence, and the recordings that a test lets it say.

const context = new AudioContext();
const output = context.createMediaStreamDestination();
const silence = new ConstantSourceNode(context, { offset: 0 });
silence.connect(output);
silence.start();

export const microphone = output.stream;

/** Say a recording, to its end. */
export async function say(name) {
  const buffer = await context.decodeAudioData(await (await fetch(`/speech/${name}.wav`)).arrayBuffer());
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(output);
  const ended = new Promise((resolve) => { source.onended = resolve; });
  source.start();
  await ended;
}
