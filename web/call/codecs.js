/**
 * Which codec a call prefers: full-band Opus, or the telephone's G.711. Pure.
 *
 * @typedef {'opus' | 'pcmu' | 'pcma'} CodecName
 * @typedef {{ mimeType: string, clockRate: number }} Codec
 */

/**
 * The codecs to offer, in order: the wanted one, and the telephone events (RFC 4733) at its clock. No other, so that the
 * answer cannot choose another.
 *
 * @template {Codec} C
 * @param {C[]} capabilities  What the browser has.
 * @param {CodecName} wanted
 * @returns {C[]}  Empty when the browser does not have it: then it offers what it likes.
 */
export function preferred(capabilities, wanted) {
  const named = (/** @type {string} */ name) =>
    capabilities.filter(({ mimeType }) => mimeType.toLowerCase() === `audio/${name}`);
  const codecs = named(wanted);
  const clocks = new Set(codecs.map(({ clockRate }) => clockRate));
  return codecs.length ? [...codecs, ...named('telephone-event').filter(({ clockRate }) => clocks.has(clockRate))] : [];
}
