/**
 * Measures both sides of a call: two streams in, `Levels` out, about a hundred a second, on one audio clock.
 *
 * @import { Levels } from './level.js'
 */

/**
 * @param {MediaStream} mic
 * @param {MediaStream} agent  Must also play in an audio element: Chromium decodes a remote track for nobody else.
 * @param {(levels: Levels) => void} listen
 * @returns {Promise<() => void>}  Stops measuring.
 */
export async function measure(mic, agent, listen) {
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL('level-worklet.js', import.meta.url));
  const node = new AudioWorkletNode(context, 'level', { numberOfInputs: 2, numberOfOutputs: 0 });
  context.createMediaStreamSource(mic).connect(node, 0, 0);
  context.createMediaStreamSource(agent).connect(node, 0, 1);
  node.port.onmessage = ({ data }) => listen(data);
  return () => {
    node.port.onmessage = null;
    void context.close();
  };
}
