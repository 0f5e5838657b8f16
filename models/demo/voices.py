"""Who speaks in training and who only in the evaluation, as data."""

from dataclasses import dataclass, replace

ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")


@dataclass(frozen=True, slots=True)
class Cast:
    """Variants of espeak-ng (`+name`), ranges of its words per minute, flite's voices, and people on recordings."""

    variants: tuple[str, ...]
    rates: tuple[tuple[int, int], ...]
    flite: tuple[str, ...]
    people: tuple[str, ...]


TRAINED = Cast(
    variants=(
        *(
            "",
            "",
            "",
            "m1",
            "m2",
            "m3",
            "m5",
            "m6",
            "m8",
            "f1",
            "f2",
            "f3",
            "f5",
            "croak",
            "whisper",
            "klatt",
            "klatt2",
            "klatt4",
        ),
        *(
            "Andy",
            "Alex",
            "Alicia",
            "Denis",
            "Diogo",
            "Gene",
            "Henrique",
            "Hugo",
            "Jacky",
            "Lee",
            "Marco",
            "Mario",
            "Mike",
        ),
        *(
            "adam",
            "aunty",
            "anika",
            "belinda",
            "benjamin",
            "boris",
            "caleb",
            "ed",
            "edward",
            "grandma",
            "grandpa",
            "gustave",
        ),
        *(
            "ian",
            "iven",
            "john",
            "marcelo",
            "max",
            "michel",
            "miguel",
            "norbert",
            "paul",
            "pedro",
            "quincy",
            "rob",
            "robert",
        ),
        *("sandro", "shelby", "steph", "travis", "victor", "zac", "Reed", "Storm", "antonio"),
    ),
    rates=((110, 144), (151, 184), (191, 232)),
    flite=("slt", "awb", "kal", "kal16"),
    people=("george", "nicolas", "yweweler"),
)
PEOPLE = ("george", "jackson", "nicolas", "yweweler")
HELD_OUT = Cast(
    variants=("m4", "m7", "f4", "Annie", "Andrea", "Michael", "linda", "david", "pablo", "klatt3", "announcer"),
    rates=((145, 150), (185, 190)),
    flite=("rms",),
    people=("jackson",),
)


def hold_out(person: str) -> tuple[Cast, Cast]:
    """Give who is trained on and who only evaluated, with another of the four people held out."""
    others = tuple(other for other in PEOPLE if other != person)
    return replace(TRAINED, people=others), replace(HELD_OUT, people=(person,))
