"""Codes of a large photograph: certified gap, seconds, and the peak of resident memory.

The photograph is tiled from bundled ones. Dense codes would take 4.3 GB for 4096 x 4096 samples and
64 atoms in float32; the working set keeps the signal, a few copies of it, and the non-zero codes.
"""

import argparse
import resource
import sys
from time import perf_counter

import csc
from demos._options import real, whole
from demos.bench.report import show
from demos.bench.signals import learned_atoms, mosaic


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m demos.bench memory", description=__doc__)
    parser.add_argument("--size", type=whole(1), default=4096)
    parser.add_argument("--fraction", type=real(0, 1), default=0.1, help="of lmbda_max")
    parser.add_argument("--tol", type=real(0, 1), default=1e-3)
    choices = parser.parse_args(arguments)
    atoms, x = learned_atoms(64, 8, "float32"), mosaic(choices.size)
    began = perf_counter()
    solution = csc.sparse_code(x, atoms, csc.Relative(choices.fraction), tol=choices.tol)
    unit = 1 if sys.platform == "darwin" else 1024  # what getrusage counts in
    show(
        bench="memory", case=f"{choices.size}x{choices.size}, 64 atoms 8x8",
        fraction=choices.fraction, seconds=perf_counter() - began,
        relative_gap=solution.relative_gap, n_nonzero=len(solution.z.index),
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9,
    )  # fmt: skip
