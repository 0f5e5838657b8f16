/**
 * What the pages have in common: their elements, whether the browser can call from them, and calls that outlive them.
 */

import { unable } from './problems.js';

/** @param {string} id */
export const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Why this browser cannot call from this page; null when it can. */
export function missing() {
  return unable({
    secure: isSecureContext,
    media: 'mediaDevices' in navigator,
    webrtc: 'RTCPeerConnection' in globalThis,
  });
}

/**
 * Keep, when the page goes away, what the next one of this tab needs to go on with the call: after a reload, say.
 *
 * @param {string} name  The page's.
 * @param {() => object | null} leave
 */
export function keepOnLeaving(name, leave) {
  addEventListener('pagehide', () => {
    const left = leave();
    if (left) sessionStorage.setItem(`parley.left.${name}`, JSON.stringify(left));
  });
  // A page that comes out of the browser's cache still shows its call, but has none.
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
}

/**
 * What the last page of this tab left, once.
 *
 * @param {string} name  The page's.
 */
export function takeLeft(name) {
  const left = JSON.parse(sessionStorage.getItem(`parley.left.${name}`) ?? 'null');
  sessionStorage.removeItem(`parley.left.${name}`);
  return left;
}
