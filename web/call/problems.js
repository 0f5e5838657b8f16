/**
 * What can go wrong with a call, as words that a person can act on. Pure: takes what the browser or the server said,
 * gives a title and a remedy.
 *
 * @typedef {{ title: string, remedy: string }} Problem
 */

/** A call that could not start or go on; `problem` says what to do. */
export class CallError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/**
 * Why this browser cannot call at all; null when it can.
 *
 * @param {{ secure: boolean, media: boolean, webrtc: boolean }} has
 * @returns {Problem | null}
 */
export function unable(has) {
  if (!has.secure) {
    return {
      title: 'The browser gives no microphone to this address',
      remedy: 'Open the page through https://, or as http://localhost on the machine that runs the server.',
    };
  }
  if (!has.media || !has.webrtc) {
    return {
      title: 'This browser cannot make calls',
      remedy: 'WebRTC is missing or switched off. Use a current Firefox, Chrome, Edge or Safari.',
    };
  }
  return null;
}

/**
 * What getUserMedia refused with.
 *
 * @param {string} name  The DOMException's.
 * @returns {Problem}
 */
export function microphone(name) {
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return {
        title: 'The microphone is not allowed',
        remedy: 'Allow it for this page: press the icon beside the address, or look into the system settings. Then start again.',
      };
    case 'NotFoundError':
    case 'OverconstrainedError':
      return { title: 'No microphone found', remedy: 'Plug one in or switch it on, then start again.' };
    case 'NotReadableError':
    case 'AbortError':
      return {
        title: 'The microphone does not answer',
        remedy: 'Another program may hold it. Close that program or choose another microphone, then start again.',
      };
    default:
      return { title: 'The microphone did not start', remedy: `The browser says ${name}. Start again, or reload the page.` };
  }
}

/**
 * What the server answered instead of taking the call.
 *
 * @param {number} status
 * @param {string} body  JSON `{"error": {"message": …}}`, or anything.
 * @returns {Problem}
 */
export function refused(status, body) {
  if (status === 503) {
    return { title: 'All lines are busy', remedy: 'The server takes no more calls now. Try again in a minute.' };
  }
  if (status === 401) {
    return {
      title: 'The server wants its key',
      remedy: 'Open this page with #key= and the key at the end of the address, as the server was started with.',
    };
  }
  if (status === 404) {
    return { title: 'That call is over', remedy: 'It waited for you, but not this long. Start a new call.' };
  }
  const said = message(body);
  return {
    title: 'The server refused the call',
    remedy: said ? `It says: ${said}` : `It answered with HTTP status ${status}. Its log says more.`,
  };
}

/** @type {Problem} */
export const UNREACHABLE = {
  title: 'The server cannot be reached',
  remedy: 'Check that it runs (make run) and that your network is up, then start again.',
};

/** @type {Problem} */
export const NO_ROUTE = {
  title: 'No route for the sound',
  remedy: 'The server answered, but audio (UDP) does not pass between here and there: a firewall or a VPN may block it. '
    + 'Try another network, or configure a TURN server.',
};

/** @type {Problem} */
export const LOST = {
  title: 'The connection was lost',
  remedy: 'The server or the network went away. Start a new call when it is back.',
};

/** @type {Problem} */
export const ENDED_BY_SERVER = {
  title: 'The server ended the call',
  remedy: 'It may have been stopped or restarted. Start a new call.',
};

/**
 * Something nobody foresaw, in the browser's own words.
 *
 * @param {unknown} error
 * @returns {Problem}
 */
export function unexpected(error) {
  return { title: 'The call did not start', remedy: `The browser says: ${error instanceof Error ? error.message : error}` };
}

/** @returns {string | null} */
function message(/** @type {string} */ body) {
  try {
    const said = JSON.parse(body)?.error?.message;
    return typeof said === 'string' ? said : null;
  } catch {
    return null;
  }
}
