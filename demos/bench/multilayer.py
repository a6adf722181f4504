"""Multi-layer pursuits: ML-FISTA compared with PyTorch, layered basis pursuit with sporco.

The iteration of Sulam et al. (2020) with restarts, in float32, is one correlation and one synthesis
for each layer. PyTorch computes it by conv2d and conv_transpose2d under ``inference_mode``, with the
same number of threads; its codes must agree to 1e-4 of the largest code. Each runs in a separate
process, in turn, and the shortest time is reported, for PyTorch that of the faster of two memory
formats. Layered basis pursuit codes a photograph, and then its codes: sporco solves the same two
problems, evaluated in float64 by NumPy code that uses no library, as in the benchmark ``coding``.
"""

import argparse
import importlib.util
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from math import prod
from typing import NamedTuple

import numpy as np
from numba import get_num_threads

import csc
from csc.operators import _batch_last_conv as conv
from demos._arguments import integer, number
from demos.bench import peers
from demos.bench.coding import Case, compare
from demos.bench.report import best_time, print_json
from demos.bench.signals import high_passed_photographs, learned_atoms, photograph

MAX_DIFFERENCE = 1e-4  # of codes, relative to the largest


class State(NamedTuple):
    """State of ML-FISTA in PyTorch."""

    z: object
    z_old: object
    t: float
    momentum: float


class TorchMLFISTA:
    """ML-FISTA by conv2d and conv_transpose2d."""

    def __init__(self, problem, memory_format):
        import torch

        self.torch, self.functional = torch, torch.nn.functional
        self.x, *self.atoms = (
            torch.tensor(a).contiguous(memory_format=getattr(torch, memory_format))
            for a in (problem.x, *(D.atoms for D in problem.dictionary.layers))
        )
        self.strides = [D.geometry.stride for D in problem.dictionary.layers]
        self.spatial_shapes, self.step_sizes = problem.spatial_shapes, problem.step_sizes
        lmbdas = [p.lmbda for p in problem.penalties]
        self.thresholds = np.cumprod(self.step_sizes) * lmbdas

    def init(self, z):
        z = self.torch.tensor(z)
        return State(z, z, 1.0, 0.0)

    def synthesize(self, z, i):
        """Return ``D_i z``, with the shape of layer i - 1."""
        atoms, stride = self.atoms[i], self.strides[i]
        places = zip(self.spatial_shapes[i], z.shape[2:], atoms.shape[2:], stride, strict=True)
        rest = [n - (v - 1) * t - s for n, v, s, t in places]
        return self.functional.conv_transpose2d(z, atoms, stride=stride, output_padding=rest)

    def step(self, state):
        """Return the state after one iteration."""
        z, z_old, t, momentum = state
        y = z + momentum * (z - z_old)
        syntheses = [y]
        for i in reversed(range(len(self.atoms))):
            syntheses.insert(0, self.synthesize(syntheses[0], i))
        below = self.x
        for i, (fit, z_i) in enumerate(zip(syntheses, syntheses[1:], strict=False)):
            gradient = self.functional.conv2d(
                fit.sub_(below), self.atoms[i], stride=self.strides[i]
            )
            v = gradient.mul_(-self.step_sizes[i]).add_(z_i)
            below = self.functional.softshrink(v, self.thresholds[i])
        if float((y - below).flatten().dot((below - z).flatten())) > 0:
            t = 1.0
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        return State(below, z, t_next, (t - 1) / t_next)


def layers(rng, shapes, strides, densities=(1.0, 1.0, 1.0)):
    """Return layers of random atoms of unit norm, in mode "full", with fractions of non-zeros."""
    atoms = []
    for shape, density in zip(shapes, densities, strict=False):
        entries = rng.standard_normal(shape) * (rng.random(shape) < density)
        atoms.append(csc.constraints.UnitSphere().project(entries))
    return csc.MultiLayerDictionary(
        csc.Dictionary(a.astype("float32"), "full", t) for a, t in zip(atoms, strides, strict=True)
    )


def digits_like(rng):
    """Return 128 patches of 28 x 28, and layers as in the MNIST network of Sulam et al."""
    x = csc.images.extract_patches(high_passed_photographs(), (28, 28), n=128, rng=0).astype(
        "float32"
    )
    shapes = (32, 1, 6, 6), (64, 32, 6, 6), (512, 64, 4, 4)
    return x / x.std(), layers(rng, shapes, (2, 2, 1))


def sparse_digits_like(rng):
    """Return the same patches, and layers as in the sparse MNIST model of Sulam et al. (2018)."""
    x, _ = digits_like(rng)
    shapes = (32, 1, 8, 8), (128, 32, 5, 5), (1024, 128, 7, 7)
    return x, layers(rng, shapes, (2, 1, 1), (1.0, 0.01, 0.01))


def one_image(rng, size=256):
    """Return a photograph, and two layers; 5 % of the second are non-zero."""
    D = layers(rng, ((64, 1, 8, 8), (128, 64, 5, 5)), (1, 2), (1.0, 0.05))
    return photograph(size), D


def time_csc(problem, args):
    """Return the seconds of one iteration of `csc.solvers.MLFISTA`, and the codes before it."""
    solver = csc.solvers.MLFISTA()
    state = solver.init(problem, problem.zeros())
    for _ in range(args.steps):
        state = solver.step(problem, state)
    return best_time(lambda: solver.step(problem, state), args.repeats)[0], state.z


def time_torch(problem, args, memory_format="contiguous_format"):
    """Return the seconds of one iteration in PyTorch, and the codes before it."""
    import torch

    torch.set_num_threads(get_num_threads())
    with torch.inference_mode():
        solver = TorchMLFISTA(problem, memory_format)
        state = solver.init(problem.zeros()[-1])
        for _ in range(args.steps):
            state = solver.step(state)
        return best_time(lambda: solver.step(state), args.repeats)[0], (state.z.numpy(),)


def run_in_process(function, *arguments):
    """Run a function in a new process, because thread pools of several libraries interfere."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def iteration(name, x, D, args):
    """Print the seconds of an iteration of csc and of PyTorch, and their ratio."""
    problem = csc.MultiLayerProblem(x, D, [csc.L1(csc.Relative(0.05))] * len(D))
    timers = {"csc": time_csc, "PyTorch": time_torch}
    timers["PyTorch, channels last"] = partial(time_torch, memory_format="channels_last")
    seconds, codes = {}, {}
    for _ in range(args.rounds):
        for library, time in timers.items():
            elapsed, codes[library] = run_in_process(time, problem, args)
            seconds[library] = min(elapsed, seconds.get(library, elapsed))
            difference = abs(codes["csc"][-1] - codes[library][-1]).max()
            difference /= abs(codes["csc"][-1]).max()
            if not difference <= MAX_DIFFERENCE:
                sys.exit(f"{name}: codes after {args.steps} steps differ by {difference:.1e}")
    shapes = [shape[2:] for shape in problem.code_shapes]
    giga_operations = (
        4e-9 * len(x) * sum(d.atoms.size * prod(V) for d, V in zip(D.layers, shapes, strict=True))
    )
    ratio = min(t for library, t in seconds.items() if library != "csc") / seconds["csc"]
    print_json(
        bench="multilayer", case=name, threads=get_num_threads(), seconds=seconds,
        torch=version("torch"), ratio=ratio, gflops={n: giga_operations / t for n, t in seconds.items()},
        nonzero=[float((z != 0).mean()) for z in codes["csc"]],
    )  # fmt: skip
    times = ", ".join(f"{library} {1e3 * t:.1f} ms" for library, t in seconds.items())
    print(f"{name}: {times} per iteration: {ratio:.2f} x")


def crossover(args, rng):
    """Print the milliseconds of D and D^T by lists of the non-zero terms, and with all terms."""
    kept = conv.MAX_SPARSE_DENSITY
    for n, size, shape in ((1, 100, (128, 64, 5, 5)), (64, 12, (64, 32, 6, 6))):
        x = rng.standard_normal((n, shape[1], size, size)).astype("float32")
        x = conv.batch_last(x) if n > 1 else x
        for density in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8):
            atoms = rng.standard_normal(shape) * (rng.random(shape) < density)
            milliseconds = []
            for conv.MAX_SPARSE_DENSITY in (2.0, 0.0):  # always lists, never lists
                D = csc.Dictionary(atoms.astype("float32"), "full", 2)
                z = D.adjoint(x)
                maps = partial(D.adjoint, x), partial(D, z, x.shape[2:])
                milliseconds.append([1e3 * best_time(apply, args.repeats)[0] for apply in maps])
            conv.MAX_SPARSE_DENSITY = kept
            ratio = sum(milliseconds[1]) / sum(milliseconds[0])
            print_json(
                bench="multilayer", case="crossover", signals=x.shape, atoms=shape, density=density,
                lists_ms=milliseconds[0], all_ms=milliseconds[1], ratio=ratio,
            )  # fmt: skip


def layered(args, rng):
    """Code a photograph, and its codes, by csc and by sporco."""
    x, atoms = photograph(args.size), learned_atoms(args.atoms, 8)
    fraction = args.fraction
    lmbda = fraction * csc.lmbda_max(x, csc.Dictionary(atoms, "circular"))
    name = f"{args.size}x{args.size}, layer {{}}: {{}}, {fraction} lmbda_max"
    solvers = {n: peers.IMAGES[n] for n in ("csc", "sporco ADMM", "sporco PGM")}
    compare(Case(name.format(1, f"{len(atoms)} atoms 8x8"), x, atoms, lmbda, solvers, True), args)
    codes = csc.sparse_code(x, atoms, lmbda, mode="circular", tol=1e-4).codes
    shape = args.deep, args.atoms, 5, 5
    deeper = rng.standard_normal(shape) * (rng.random(shape) < 0.05)
    deeper = csc.constraints.UnitSphere().project(deeper).astype("float32")
    lmbda = fraction * csc.lmbda_max(codes, csc.Dictionary(deeper, "circular"))
    name = name.format(2, f"{args.deep} atoms 5x5 of {args.atoms} channels")
    compare(Case(name, codes, deeper, lmbda, solvers, True), args)


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench multilayer", description=__doc__)
    parts = "iteration", "layered", "crossover"
    parser.add_argument("--only", choices=parts, help="one part; without it the first two")
    parser.add_argument(
        "--steps", type=integer(1), default=10, help="iterations before the timed one (10)"
    )
    parser.add_argument(
        "--repeats",
        type=integer(1),
        default=20,
        help="timed repeats; the shortest is reported (20)",
    )
    parser.add_argument(
        "--rounds", type=integer(1), default=2, help="processes for each library (2)"
    )
    parser.add_argument(
        "--size", type=integer(1), default=128, help="side of the photograph in pixels (128)"
    )
    parser.add_argument("--atoms", type=integer(1), default=32, help="of the first layer (32)")
    parser.add_argument(
        "--deep", type=integer(1), default=32, help="atoms of the second layer (32)"
    )
    parser.add_argument(
        "--fraction", type=number(0, 1), default=0.1, help="lmbda as a fraction of lmbda_max (0.1)"
    )
    parser.add_argument(
        "--patience", type=number(0), default=100, help="maximum time of sporco / time of csc (100)"
    )
    parser.add_argument(
        "--most", type=number(0), default=60, help="maximum seconds of a solver (60)"
    )
    parser.add_argument(
        "--peers", nargs="*", default=[""], help="parts of the names of peers (all)"
    )
    args, rng = parser.parse_args(argv), np.random.default_rng(0)
    if args.only == "crossover":
        crossover(args, rng)
    if args.only in (None, "iteration"):
        if importlib.util.find_spec("torch") is None:
            sys.exit(
                "the iteration is compared with PyTorch, which is missing: pip install 'mlcsc[torch]'"
            )
        iteration("128 of 28x28, 32, 64, 512 atoms", *digits_like(rng), args)
        iteration("128 of 28x28, 32, 128, 1024 sparse atoms", *sparse_digits_like(rng), args)
        iteration("256x256, 64 atoms 8x8, 128 of 5x5", *one_image(rng), args)
    if args.only in (None, "layered"):
        layered(args, rng)
