"""Session descriptions: which offers we can answer, and what aiortc's answers lack. Pure."""

import re
from collections.abc import Collection

from aiortc.sdp import MediaDescription, SessionDescription

from agent.edge.codecs import BIT_RATE, BY_NAME
from agent.edge.keypad import MIME_TYPE

OPUS_PARAMETERS = f"minptime=20;useinbandfec=1;usedtx=1;stereo=0;maxaveragebitrate={BIT_RATE}"
"""Copies of lost frames, pauses instead of silence, and one channel: a machine hears no more in two."""

MALFORMED = (ValueError, AssertionError, LookupError, AttributeError, StopIteration, TypeError)
"""What aiortc's parser raises for text that is no SDP."""


STATIC = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}
"""RFC 3551, table 4: what an offer need not explain."""


class OfferError(ValueError):
    """An offer that cannot be answered; the message says why."""


def checked(offer: str, codecs: Collection[str] = tuple(BY_NAME)) -> str:
    """The offer as aiortc gets it, of these codecs. Raises OfferError when it is no offer, or none that we can answer.

    The caller's order of codecs is kept: the first is spoken. Candidates that are mDNS names are left out: asking the network for them would leave the machine. So is the end of the
    candidates: callers behind such names or an address translation are known only by their own checks, which may still come.
    """
    lines = [line for line in offer.splitlines() if line]
    kept = [line for line in lines if line != "a=end-of-candidates" and not _is_mdns(line)]
    text = "\r\n".join(_with_codecs(kept, codecs)) + "\r\n"
    try:
        description = SessionDescription.parse(text)
    except MALFORMED as error:
        raise OfferError("The offer is not an SDP session description.") from error
    if not lines or lines[0] != "v=0" or not description.media:
        raise OfferError("The offer is not an SDP session description with media sections.")
    section = audio(description)
    offered = {codec.mimeType.lower() for codec in section.rtp.codecs}
    if not offered - {MIME_TYPE}:
        raise OfferError(f"The offer has no codec that we have: {', '.join(sorted(codecs))}.")
    if section.direction not in {None, "sendrecv", "recvonly"}:
        raise OfferError(f"The offer's audio is {section.direction}: it must be able to receive the answer's speech.")
    if not (section.ice and section.ice.usernameFragment and section.ice.password):
        raise OfferError("The offer lacks ICE credentials.")
    if not (section.dtls and section.dtls.fingerprints):
        raise OfferError("The offer lacks a DTLS fingerprint.")
    names = [media.rtp.muxId for media in description.media]
    bundled = {name for group in description.group if group.semantic == "BUNDLE" for name in group.items}
    if len(set(names)) < len(names) or not bundled <= set(names):
        raise OfferError("The offer's media sections are not named as its BUNDLE group says (a=mid).")
    return text


def _with_codecs(lines: list[str], codecs: Collection[str]) -> list[str]:
    """The lines of an offer, with those codecs in its first audio section, each explained, and the telephone events after them."""
    start = next((n for n, line in enumerate(lines) if line.startswith("m=audio ")), None)
    if start is None:
        return lines
    end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("m=")), len(lines))
    about: dict[str, list[str]] = {number: [] for number in lines[start].split()[3:]}
    others = []
    for line in lines[start + 1 : end]:
        match = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+) ", line)
        about.get(match[1], []).append(line) if match else others.append(line)
    names = {}
    for number, its in about.items():
        if number in STATIC and not any(line.startswith("a=rtpmap:") for line in its):
            its.insert(0, f"a=rtpmap:{number} {STATIC[number]}")
        named = next((line.split()[1] for line in its if line.startswith("a=rtpmap:")), "")
        names[number] = f"audio/{named.partition('/')[0].lower()}"
    kept = [number for number in about if names[number] in codecs]
    kept += [number for number in about if names[number] == MIME_TYPE]
    first = " ".join([*lines[start].split()[:3], *kept])
    return [*lines[:start], first, *others, *(line for number in kept for line in about[number]), *lines[end:]]


def audio(description: SessionDescription) -> MediaDescription:
    """The first audio section. Raises OfferError when there is none."""
    for media in description.media:
        if media.kind == "audio":
            return media
    raise OfferError("The offer has no audio section (m=audio).")


def announcing(address: str | None, answer: str) -> str:
    """The answer with another address in its host candidates of the same kind."""
    if address is None:
        return answer
    kind = r"[0-9.]+" if "." in address else r"[0-9A-Fa-f:]+"
    return re.sub(
        rf"^(a=candidate:(?:\S+ ){{4}}){kind}( \d+ typ host)", rf"\g<1>{address}\2", answer, flags=re.MULTILINE
    )


def with_parameters(answer: str) -> str:
    """The answer with how we want Opus sent (RFC 7587, section 6.1), of which aiortc knows nothing."""
    number = re.search(r"^a=rtpmap:(\d+) opus/", answer, re.MULTILINE | re.IGNORECASE)
    if number is None:
        return answer
    end = answer.index("\n", number.end()) + 1
    return f"{answer[:end]}a=fmtp:{number[1]} {OPUS_PARAMETERS}\r\na=ptime:20\r\n{answer[end:]}"


def _is_mdns(line: str) -> bool:
    return line.startswith("a=candidate:") and ".local " in line
