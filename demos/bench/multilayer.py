"""Multi-layer pursuits: an ML-FISTA iteration beside PyTorch, layered pursuit beside sporco.

The iteration of Sulam et al. (2020) with restarts, float32, is one correlation and one synthesis a
layer in both; PyTorch does it with conv2d and conv_transpose2d under ``inference_mode``, on as many
threads, and must first reach the same codes to 1e-4 of their largest. Each runs in a process of its
own, by turns, and the least time counts, for PyTorch that of the faster of two memory formats.
Layered basis pursuit codes a photograph, and then its codes: sporco solves the same two problems,
each judged in float64 by lines that know no library, as in the bench ``coding``.
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
from demos.bench.coding import Case, race
from demos.bench.report import best_time, show
from demos.bench.signals import learned_atoms, photograph, pictures

SAME = 1e-4


class State(NamedTuple):
    """Where PyTorch's ML-FISTA stands."""

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
        self.extents, self.step_sizes = problem.extents, problem.step_sizes
        prices = [p.lmbda for p in problem.penalties]
        self.thresholds = np.cumprod(self.step_sizes) * prices

    def start(self, z):
        z = self.torch.tensor(z)
        return State(z, z, 1.0, 0.0)

    def synthesize(self, z, i):
        """``D_i z``, of the extents of layer i - 1."""
        atoms, stride = self.atoms[i], self.strides[i]
        places = zip(self.extents[i], z.shape[2:], atoms.shape[2:], stride, strict=True)
        rest = [n - (v - 1) * t - s for n, v, s, t in places]
        return self.functional.conv_transpose2d(z, atoms, stride=stride, output_padding=rest)

    def step(self, state):
        """One pass over the layers."""
        z, z_old, t, momentum = state
        y = z + momentum * (z - z_old)
        chain = [y]
        for i in reversed(range(len(self.atoms))):
            chain.insert(0, self.synthesize(chain[0], i))
        below = self.x
        for i, (fit, guess) in enumerate(zip(chain, chain[1:], strict=False)):
            slope = self.functional.conv2d(fit.sub_(below), self.atoms[i], stride=self.strides[i])
            v = slope.mul_(-self.step_sizes[i]).add_(guess)
            below = self.functional.softshrink(v, self.thresholds[i])
        if float((y - below).flatten().dot((below - z).flatten())) > 0:
            t = 1.0
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        return State(below, z, t_next, (t - 1) / t_next)


def layers(rng, shapes, strides, densities=(1.0, 1.0, 1.0)):
    """Random atoms of unit norm, some of their samples not 0, in mode "full"."""
    atoms = []
    for shape, density in zip(shapes, densities, strict=False):
        some = rng.standard_normal(shape) * (rng.random(shape) < density)
        atoms.append(csc.constraints.UnitSphere().project(some))
    return csc.MultiLayerDictionary(
        csc.Dictionary(a.astype("float32"), "full", t) for a, t in zip(atoms, strides, strict=True)
    )


def digits_like(rng):
    """128 patches of 28 x 28, and the layers of the network for MNIST of Sulam et al."""
    x = csc.images.extract_patches(pictures(), (28, 28), n=128, rng=0).astype("float32")
    shapes = (32, 1, 6, 6), (64, 32, 6, 6), (512, 64, 4, 4)
    return x / x.std(), layers(rng, shapes, (2, 2, 1))


def sparse_digits_like(rng):
    """The same patches, and the sparse three-layer model of MNIST of Sulam et al. (2018)."""
    x, _ = digits_like(rng)
    shapes = (32, 1, 8, 8), (128, 32, 5, 5), (1024, 128, 7, 7)
    return x, layers(rng, shapes, (2, 1, 1), (1.0, 0.01, 0.01))


def one_image(rng, size=256):
    """A photograph; the atoms of the second layer have 5 % of their samples."""
    D = layers(rng, ((64, 1, 8, 8), (128, 64, 5, 5)), (1, 2), (1.0, 0.05))
    return photograph(size), D


def steps_of_csc(problem, args):
    """Seconds of a step of `csc.solvers.MLFISTA`, and the codes it starts from."""
    solver = csc.solvers.MLFISTA()
    state = solver.init(problem, problem.zeros())
    for _ in range(args.steps):
        state = solver.step(problem, state)
    return best_time(lambda: solver.step(problem, state), args.repeats)[0], state.z


def steps_of_torch(problem, args, memory_format="contiguous_format"):
    """The same of PyTorch."""
    import torch

    torch.set_num_threads(get_num_threads())
    with torch.inference_mode():
        rival = TorchMLFISTA(problem, memory_format)
        state = rival.start(problem.zeros()[-1])
        for _ in range(args.steps):
            state = rival.step(state)
        return best_time(lambda: rival.step(state), args.repeats)[0], (state.z.numpy(),)


def alone(work, *arguments):
    """In a process of its own: pools of threads that spin disturb each other."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def iteration(name, x, D, args):
    """Seconds of an iteration of both, and their ratio."""
    problem = csc.MultiLayerProblem(x, D, [csc.L1(csc.Relative(0.05))] * len(D))
    rivals = {"csc": steps_of_csc, "PyTorch": steps_of_torch}
    rivals["PyTorch, channels last"] = partial(steps_of_torch, memory_format="channels_last")
    seconds, codes = {}, {}
    for _ in range(args.rounds):
        for rival, work in rivals.items():
            taken, codes[rival] = alone(work, problem, args)
            seconds[rival] = min(taken, seconds.get(rival, taken))
            apart = abs(codes["csc"][-1] - codes[rival][-1]).max() / abs(codes["csc"][-1]).max()
            if not apart <= SAME:
                sys.exit(f"{name}: codes after {args.steps} steps are {apart:.1e} apart")
    shapes = [shape[2:] for shape in problem.code_shapes]
    work = (
        4e-9 * len(x) * sum(d.atoms.size * prod(V) for d, V in zip(D.layers, shapes, strict=True))
    )
    ratio = min(t for rival, t in seconds.items() if rival != "csc") / seconds["csc"]
    show(
        bench="multilayer", case=name, threads=get_num_threads(), seconds=seconds,
        torch=version("torch"), ratio=ratio, gflops={n: work / t for n, t in seconds.items()},
        nonzero=[float((z != 0).mean()) for z in codes["csc"]],
    )  # fmt: skip
    times = ", ".join(f"{rival} {1e3 * t:.1f} ms" for rival, t in seconds.items())
    print(f"{name}: {times} an iteration: {ratio:.2f} x")


def crossover(args, rng):
    """Milliseconds of both maps by lists of the terms that are not 0, and with all terms."""
    kept = conv.MAX_SPARSE_DENSITY
    for n, size, shape in ((1, 100, (128, 64, 5, 5)), (64, 12, (64, 32, 6, 6))):
        x = rng.standard_normal((n, shape[1], size, size)).astype("float32")
        x = conv.batch_last(x) if n > 1 else x
        for density in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8):
            atoms = rng.standard_normal(shape) * (rng.random(shape) < density)
            taken = []
            for conv.MAX_SPARSE_DENSITY in (2.0, 0.0):  # lists always, lists never
                D = csc.Dictionary(atoms.astype("float32"), "full", 2)
                z = D.adjoint(x)
                maps = partial(D.adjoint, x), partial(D, z, x.shape[2:])
                taken.append([1e3 * best_time(one, args.repeats)[0] for one in maps])
            conv.MAX_SPARSE_DENSITY = kept
            ratio = sum(taken[1]) / sum(taken[0])
            show(
                bench="multilayer", case="crossover", signals=x.shape, atoms=shape, density=density,
                lists_ms=taken[0], all_ms=taken[1], ratio=ratio,
            )  # fmt: skip


def layered(args, rng):
    """A photograph's codes, and the codes of the codes, beside sporco."""
    x, atoms = photograph(args.size), learned_atoms(args.atoms, 8)
    fraction = args.fraction
    lmbda = fraction * csc.lmbda_max(x, csc.Dictionary(atoms, "circular"))
    name = f"{args.size}x{args.size}, layer {{}}: {{}}, {fraction} lmbda_max"
    solvers = {n: peers.IMAGES[n] for n in ("csc", "sporco ADMM", "sporco PGM")}
    race(Case(name.format(1, f"{len(atoms)} atoms 8x8"), x, atoms, lmbda, solvers, True), args)
    codes = csc.sparse_code(x, atoms, lmbda, mode="circular", tol=SAME).codes
    shape = args.deep, args.atoms, 5, 5
    deeper = rng.standard_normal(shape) * (rng.random(shape) < 0.05)
    deeper = csc.constraints.UnitSphere().project(deeper).astype("float32")
    lmbda = fraction * csc.lmbda_max(codes, csc.Dictionary(deeper, "circular"))
    name = name.format(2, f"{args.deep} atoms 5x5 of {args.atoms} channels")
    race(Case(name, codes, deeper, lmbda, solvers, True), args)


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench multilayer", description=__doc__)
    parts = "iteration", "layered", "crossover"
    parser.add_argument("--only", choices=parts, help="one part; without it the first two")
    parser.add_argument("--steps", type=integer(1), default=10, help="before the clock starts (10)")
    parser.add_argument(
        "--repeats", type=integer(1), default=20, help="the best of them counts (20)"
    )
    parser.add_argument("--rounds", type=integer(1), default=2, help="turns of each rival (2)")
    parser.add_argument("--size", type=integer(1), default=128, help="of the photograph (128)")
    parser.add_argument("--atoms", type=integer(1), default=32, help="of the first layer (32)")
    parser.add_argument(
        "--deep", type=integer(1), default=32, help="atoms of the second layer (32)"
    )
    parser.add_argument("--fraction", type=number(0, 1), default=0.1, help="of lmbda_max (0.1)")
    parser.add_argument("--patience", type=number(0), default=100, help="sporco's time over ours")
    parser.add_argument("--most", type=number(0), default=60, help="seconds of any solver (60)")
    parser.add_argument("--peers", nargs="*", default=[""], help="parts of their names; all")
    args, rng = parser.parse_args(argv), np.random.default_rng(0)
    if args.only == "crossover":
        crossover(args, rng)
    if args.only in (None, "iteration"):
        if importlib.util.find_spec("torch") is None:
            sys.exit("the iteration's rival needs PyTorch: pip install 'mlcsc[torch]'")
        iteration("128 of 28x28, 32, 64, 512 atoms", *digits_like(rng), args)
        iteration("128 of 28x28, 32, 128, 1024 sparse atoms", *sparse_digits_like(rng), args)
        iteration("256x256, 64 atoms 8x8, 128 of 5x5", *one_image(rng), args)
    if args.only in (None, "layered"):
        layered(args, rng)
