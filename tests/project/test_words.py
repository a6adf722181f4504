"""Words and patterns that must not come back: plain English and the terms of the field."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = {
    "knows no": r"\bknow(s|ing)? (no|nothing|only)\b",
    "hangs on": r"\bhang(s|ing)? on\b",
    "is told": r"\b(is|are) told\b",
    "mend": r"\bmend(s|ed|ing)?\b",
    "silence": r"\bsilenc(e|es|ed|ing)\b",
    "worths": r"\bworths\b",
    "uphill": r"\buphill\b",
    "called off": r"\bcalled off\b",
    "price": r"\bprices?\b",
    "beside": r"\bbeside\b",
    "says so": r"\bsays? so\b",
    "lives on": r"\bliv(e|es|ing) on\b",
    "excess": r"\bworst excess\b",
    "rivals": r"\brivals\b",
    "extents": r"extents",
    "a for per": r"\b(one|number|numbers|price|line|bytes) an? "
    r"(atom|axis|code|layer|signal|group|pass|case|script|core|demo|row|sample)\b",
}
ROOMS = {
    "README": [ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    "docs": sorted(p for p in ROOT.glob("docs/*.*") if p.suffix in {".md", ".rst", ".py"}),
    **{
        str(room.relative_to(ROOT)): sorted(
            p for p in room.rglob("*") if p.suffix in {".py", ".cu", ".js", ".css"}
        )
        for room in sorted([*ROOT.glob("csc/[a-z]*/"), *ROOT.glob("kernels/?pu/")])
        if room.is_dir()
    },
    "csc": sorted(ROOT.glob("csc/*.py")),
    "tests": sorted(p for p in ROOT.glob("tests/**/*.py") if p != Path(__file__).resolve()),
    "demos": sorted(ROOT.glob("demos/*.py")),
    "demos/bench": sorted(ROOT.glob("demos/bench/**/*.py")),
}
# Patterns that a room still has. The list can only shrink: a name whose room is clean must go.
STILL_THERE = {}


def found(room):
    """Names of the patterns in a room, each with its places."""
    places = {}
    for path in ROOMS[room]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for name, pattern in PATTERNS.items():
                if re.search(pattern, line, re.IGNORECASE):
                    places.setdefault(name, []).append(f"{path.relative_to(ROOT)}:{number}")
    return places


@pytest.mark.parametrize("room", ROOMS)
def test_words_do_not_come_back(room):
    places, allowed = found(room), STILL_THERE.get(room, set())
    assert {name: at for name, at in places.items() if name not in allowed} == {}
    assert allowed <= set(places), "the room is cleaner than STILL_THERE says: shorten the list"


def test_listed_rooms_exist():
    assert set(STILL_THERE) <= set(ROOMS)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_find_their_words(name):
    examples = (
        "it knows no masks; its shape hangs on n; it is told n; mended and silenced by the worths; "
        "uphill steps, called off; a price; beside sporco; it says so; lives on it; the worst excess; "
        "rivals; one number an atom; extents"
    )
    assert re.search(PATTERNS[name], examples, re.IGNORECASE)
