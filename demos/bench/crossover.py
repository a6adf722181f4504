"""From which size on FFT convolution is faster than direct convolution.

Fits the two constants of `csc.operators._fft_conv`: those with which the rule loses the least time.
"""

import argparse
from itertools import product
from math import log

import numpy as np

import csc
from csc.operators import _fft_conv as fourier
from demos._arguments import integer
from demos.bench.report import best_time, print_json

IMAGES = [((side, side), (size, size)) for size in (128, 512) for side in (4, 8, 12, 16, 24, 32)]
SERIES = [((length,), (20_000,)) for length in (16, 64, 128, 256, 512)]
ATOMS = [(16, 1), (64, 1), (16, 3)]  # number of atoms, of channels


def timed(D, x, repeats):
    """Return the milliseconds of the direct and of the FFT correlation."""
    rule, milliseconds = fourier.is_faster, []
    try:
        for answer in (False, True):
            fourier.is_faster = lambda *_, answer=answer, **__: answer
            anew = csc.Dictionary(D.atoms)  # a dictionary keeps its plan
            anew.adjoint(x)  # compiles kernels, plans FFTs
            milliseconds.append(1e3 * best_time(lambda D=anew: D.adjoint(x), repeats)[0])
    finally:
        fourier.is_faster = rule
    return milliseconds


def total_loss(cases):
    """Return the sum of log(time by the current rule / shorter time) over the cases."""
    picks = [fourier.is_faster(*shapes) for shapes, _ in cases]
    return sum(log(times[pick] / min(times)) for pick, (_, times) in zip(picks, cases, strict=True))


def fitted(cases):
    """Return the constants with the smallest loss."""
    original, losses = (fourier.TRANSFORM_COST, fourier.PRODUCT_COST), {}
    for constants in product(range(2, 41, 2), range(0, 201, 10)):
        fourier.TRANSFORM_COST, fourier.PRODUCT_COST = constants
        losses[constants] = total_loss(cases)
    fourier.TRANSFORM_COST, fourier.PRODUCT_COST = original
    return min(losses, key=losses.get)


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench crossover", description=__doc__)
    parser.add_argument("--repeats", type=integer(1), default=3)
    args, rng, cases = parser.parse_args(argv), np.random.default_rng(0), []
    for (s, S), (k, c) in product(IMAGES + SERIES, ATOMS):
        D = csc.Dictionary(rng.standard_normal((k, c, *s)).astype("float32"))
        x = rng.standard_normal((1, c, *S)).astype("float32")
        shapes = [D.atoms.shape], D.spatial_code_shape(S), S
        cases.append((shapes, timed(D, x, args.repeats)))
        print_json(
            bench="crossover", atoms=D.atoms.shape, signal=S, direct_ms=cases[-1][1][0],
            fourier_ms=cases[-1][1][1], picked=("direct", "fourier")[fourier.is_faster(*shapes)],
        )  # fmt: skip
    print(f"the rule loses {100 * total_loss(cases) / len(cases):.1f} % of the time on average; "
          f"best constants here: TRANSFORM_COST, PRODUCT_COST = {fitted(cases)}")  # fmt: skip
