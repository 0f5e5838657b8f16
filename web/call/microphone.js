/**
 * The microphone, and which devices there are. Takes device ids of the browser; raises CallError with what to do.
 *
 * @typedef {{ id: string, label: string }} Device
 */

import { CallError, microphone as refusal } from './problems.js';

/**
 * @param {string} [device]  Its id; one that is gone, or none, means the browser's choice.
 * @returns {Promise<MediaStream>}
 */
export async function openMicrophone(device) {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const wanted = device ? { ...audio, deviceId: { ideal: device } } : audio;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: wanted });
  } catch (error) {
    throw new CallError(refusal(error instanceof DOMException ? error.name : String(error)));
  }
}

/**
 * Names are empty until the page was allowed to listen; such devices are left out.
 *
 * @returns {Promise<{ microphones: Device[], speakers: Device[] }>}
 */
export async function devices() {
  const found = (await navigator.mediaDevices?.enumerateDevices().catch(() => null)) ?? [];
  const named = (/** @type {MediaDeviceKind} */ kind) =>
    found
      .filter((device) => device.kind === kind && device.label && device.deviceId !== 'default')
      .map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { microphones: named('audioinput'), speakers: named('audiooutput') };
}
