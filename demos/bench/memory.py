"""Codes of a large photograph: certified gap, seconds, and peak resident memory.

The photograph is tiled from bundled ones. Dense codes would take 4.3 GB for 4096 x 4096 samples and
64 atoms in float32; the working-set solver keeps a few copies of the signal, and the non-zero codes.
"""

import argparse
import resource
import sys
from time import perf_counter

import csc
from demos._arguments import integer, number
from demos.bench.report import print_json
from demos.bench.signals import learned_atoms, mosaic


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench memory", description=__doc__)
    parser.add_argument("--size", type=integer(1), default=4096)
    parser.add_argument("--fraction", type=number(0, 1), default=0.1, help="of lmbda_max")
    parser.add_argument("--tol", type=number(0, 1), default=1e-3)
    args = parser.parse_args(argv)
    atoms, x = learned_atoms(64, 8, "float32"), mosaic(args.size)
    start = perf_counter()
    solution = csc.sparse_code(x, atoms, csc.Relative(args.fraction), tol=args.tol)
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024  # of getrusage
    print_json(
        bench="memory", case=f"{args.size}x{args.size}, 64 atoms 8x8",
        fraction_of_lmbda_max=args.fraction, seconds=perf_counter() - start,
        relative_gap=solution.relative_gap, n_nonzero=len(solution.z.index),
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / 1e9,
    )  # fmt: skip
