"""Where the Fourier domain begins to pay: direct and transformed correlation, side by side.

Fits the two constants of `csc.operators._fft_conv`: least time lost where the rule picks the slower way.
"""

import argparse
from itertools import product
from math import log

import numpy as np

import csc
from csc.operators import _fft_conv as fourier
from demos._arguments import integer
from demos.bench.report import best_time, show

IMAGES = [((side, side), (size, size)) for size in (128, 512) for side in (4, 8, 12, 16, 24, 32)]
SERIES = [((length,), (20_000,)) for length in (16, 64, 128, 256, 512)]
ATOMS = [(16, 1), (64, 1), (16, 3)]  # how many, of how many channels


def timed(D, x, repeats):
    """Milliseconds of the direct and of the transformed correlation."""
    rule, taken = fourier.is_faster, []
    try:
        for answer in (False, True):
            fourier.is_faster = lambda *_, answer=answer, **__: answer
            D.adjoint(x)  # compiles, plans
            taken.append(1e3 * best_time(lambda: D.adjoint(x), repeats)[0])
    finally:
        fourier.is_faster = rule
    return taken


def lost(cases):
    """Sum of the logarithms of the time taken over the least possible, under the rule in force."""
    picks = [fourier.is_faster(*shapes) for shapes, _ in cases]
    return sum(log(times[pick] / min(times)) for pick, (_, times) in zip(picks, cases, strict=True))


def fitted(cases):
    """The constants that lose least."""
    kept, least = (fourier.TRANSFORM, fourier.PRODUCT), {}
    for constants in product(range(2, 41, 2), range(0, 201, 10)):
        fourier.TRANSFORM, fourier.PRODUCT = constants
        least[constants] = lost(cases)
    fourier.TRANSFORM, fourier.PRODUCT = kept
    return min(least, key=least.get)


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench crossover", description=__doc__)
    parser.add_argument("--repeats", type=integer(1), default=3)
    args, rng, cases = parser.parse_args(argv), np.random.default_rng(0), []
    for (s, S), (k, c) in product(IMAGES + SERIES, ATOMS):
        D = csc.Dictionary(rng.standard_normal((k, c, *s)).astype("float32"))
        x = rng.standard_normal((1, c, *S)).astype("float32")
        shapes = [D.atoms.shape], D.code_extents(S), S
        cases.append((shapes, timed(D, x, args.repeats)))
        show(
            bench="crossover", atoms=D.atoms.shape, signal=S, direct_ms=cases[-1][1][0],
            fourier_ms=cases[-1][1][1], picked=("direct", "fourier")[fourier.is_faster(*shapes)],
        )  # fmt: skip
    print(f"the rule loses {100 * lost(cases) / len(cases):.1f} % of the time in the mean; "
          f"best here: TRANSFORM, PRODUCT = {fitted(cases)}")  # fmt: skip
