"""How many pixels the parts of a page may have: together they stay below its limit of bytes."""

from typing import NamedTuple

MAX_PIXELS = 3_300_000  # in base64, a pixel of noise takes about 1.3 bytes
PIXELS_PER_ATOM = 250  # as many bytes as its numbers take
SHARE_OF_PATCHES = 0.4  # of what is left; passes have the rest


class Room(NamedTuple):
    """Pixels that are left for the patches that use the atoms most, and for the passes."""

    patches: int
    passes: int


def room_next_to(atoms, fields):
    """`Room` that atoms and their fields leave; fields are in the page twice, as pictures and as numbers."""
    taken = atoms.size + 2 * fields.size + PIXELS_PER_ATOM * len(atoms)
    left = max(0, MAX_PIXELS - taken)
    patches = int(SHARE_OF_PATCHES * left)
    return Room(patches, left - patches)
