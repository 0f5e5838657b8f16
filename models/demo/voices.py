"""Who speaks in training and who only in the evaluation, as data; and voices that are invented."""

from dataclasses import dataclass, replace
from random import Random

ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")


@dataclass(frozen=True, slots=True)
class Cast:
    """Variants of espeak-ng (`+name`), ranges of its words per minute, flite's voices, people on recordings, and neural voices.

    Between `blend` voices of `kokoro` others are drawn; `joe` says whether Piper's voice of that name is in it.
    `invented` is the share of espeak-ng's clips that is spoken by a variant drawn for the clip.
    """

    variants: tuple[str, ...]
    rates: tuple[tuple[int, int], ...]
    flite: tuple[str, ...]
    people: tuple[str, ...]
    kokoro: tuple[str, ...]
    joe: bool
    blend: int = 1
    invented: float = 0.0


_VARIANTS = """
    m1 m2 m3 m5 m6 m8 f1 f2 f3 f5 croak whisper klatt klatt2 klatt4 Andy Alex Alicia Denis Diogo Gene Henrique Hugo
    Jacky Lee Marco Mario Mike adam aunty anika belinda benjamin boris caleb ed edward grandma grandpa gustave ian
    iven john marcelo max michel miguel norbert paul pedro quincy rob robert sandro shelby steph travis victor zac
    Reed Storm antonio
"""
_KOKORO = """
    af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky am_adam am_echo
    am_eric am_fenrir am_liam am_onyx am_puck am_santa bf_alice bf_isabella bf_lily bm_daniel bm_fable bm_george bm_lewis
    ef_dora em_alex ff_siwis hf_alpha hf_beta hm_omega hm_psi if_sara im_nicola jf_alpha jf_gongitsune jf_nezumi
    jf_tebukuro pf_dora pm_alex
"""
TRAINED = Cast(
    variants=("", "", "", *_VARIANTS.split()),
    rates=((110, 144), (151, 184), (191, 232)),
    flite=("slt", "awb", "kal", "kal16"),
    people=("george", "nicolas", "yweweler"),
    kokoro=tuple(_KOKORO.split()),
    joe=True,
    blend=3,
    invented=0.5,
)
PEOPLE = ("george", "jackson", "nicolas", "yweweler")
HELD_OUT = Cast(
    variants=("m4", "m7", "f4", "Annie", "Andrea", "Michael", "linda", "david", "pablo", "klatt3", "announcer"),
    rates=((145, 150), (185, 190)),
    flite=("rms",),
    people=("jackson",),
    kokoro=("am_michael", "bf_emma", "jm_kumo"),
    joe=False,
)


def hold_out(person: str) -> tuple[Cast, Cast]:
    """Give who is trained on and who only evaluated, with another of the four people held out."""
    others = tuple(other for other in PEOPLE if other != person)
    return replace(TRAINED, people=others), replace(HELD_OUT, people=(person,))


def invent(rng: Random) -> str:
    """Draw a variant of espeak-ng: the lines of its file (docs/voices.md of espeak-ng 1.52 lists what they mean)."""
    lowest = rng.uniform(60, 220)
    throat = min(1.35, max(0.8, rng.lognormvariate(0.04, 0.1)))  # moves all formants
    lines = ["language variant", "name invented", f"pitch {lowest:.0f} {lowest * rng.uniform(1.1, 1.7):.0f}"]
    for formant in range(9):
        spread = 0.06 if formant < 3 else 0.12
        frequency = 100 * throat * min(1.3, max(0.7, rng.gauss(1, spread)))
        lines.append(f"formant {formant} {frequency:.0f} {rng.uniform(50, 115):.0f} {rng.uniform(60, 170):.0f}")
    sometimes = (
        (0.5, f"voicing {rng.uniform(65, 160):.0f}"),
        (0.5, f"consonants {rng.uniform(60, 140):.0f} {rng.uniform(60, 140):.0f}"),
        (0.3, f"flutter {rng.uniform(0, 15):.0f}"),
        (0.2, f"roughness {rng.randint(0, 6)}"),
        (0.2, f"echo {rng.uniform(10, 160):.0f} {rng.uniform(5, 30):.0f}"),
        (0.2, f"intonation {rng.randint(1, 4)}"),
        (0.2, f"tone 600 {rng.randint(150, 255)} 1200 {rng.randint(100, 255)} 2000 {rng.randint(60, 255)}"),
        (0.2, "stressAdd " + " ".join(f"{rng.uniform(-30, 30):.0f}" for _ in range(8))),
        (0.2, "breath " + " ".join(f"{rng.uniform(0, 6):.0f}" for _ in range(8))),
        (0.15, f"klatt {rng.choice((1, 2, 4, 5, 6))}"),  # the third is only evaluated with
    )
    return "\n".join([*lines, *(line for share, line in sometimes if rng.random() < share)]) + "\n"
