"""How many pixels the parts of a page may have: together they stay below its limit of bytes."""

PATCH_PIXELS = 900_000  # of the patches that use the atoms most
PASS_PIXELS = 1_200_000  # of the atoms after all passes
