"""Modules of csc.nn compared with the same steps as plain loops of PyTorch.

The loops are written as networks of unrolled pursuits usually are: conv, conv_transpose and two ReLUs in
each step, recorded by autograd. Both take the same numbers of steps on the same atoms; codes and
gradients must agree. Times are the processor time of one thread, the shortest of several calls in
turn. Memory is that of the tensors which the graph keeps for the backward pass, each storage counted
once. Codes at the minimum, by `csc.nn.ImplicitSparseCode`, are compared with as many steps of the loop
as reach the same objective.
"""

import argparse
import os
from functools import partial
from itertools import islice
from time import thread_time
from typing import NamedTuple

from demos._arguments import integer
from demos.bench.report import print_json

N_STEPS = 10
LMBDA_FRACTION = 0.1  # of lambda_max
GAP = 1e-3  # relative, of codes at the minimum
MAX_DIFFERENCE = 1e-3  # of codes and gradients, relative to their norm


class Case(NamedTuple):
    """Signals and atoms of one comparison."""

    n_signals: int
    n_channels: int
    side: int
    n_atoms: int
    atom_side: int
    stride: int


CASES = (
    Case(1, 1, 256, 64, 8, 1),
    Case(16, 1, 64, 64, 8, 4),
    Case(16, 1, 64, 32, 5, 1),
    Case(128, 1, 28, 32, 7, 2),
    Case(16, 3, 64, 64, 8, 4),
    Case(16, 3, 64, 64, 5, 1),
    Case(32, 16, 32, 32, 5, 1),
)


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench nn", description=__doc__)
    parser.add_argument("--repeats", type=integer(1), default=3, help="calls of each (3)")
    args = parser.parse_args(argv)
    use_one_thread()
    for case in CASES:
        print_json(
            bench="nn", pursuit="FISTA", **case._asdict(), **single_layer(case, args.repeats)
        )
    for stride in (1, 2, 4):
        print_json(bench="nn", pursuit="minimum", stride=stride, **minimum(stride))
    print_json(bench="nn", pursuit="ML-FISTA", **two_layers(args.repeats))
    print_json(bench="nn", pursuit="LCA", **lca(args.repeats))
    for n_steps in (10, 100):
        print_json(bench="nn", memory_of="unrolled and implicit", **implicit_memory(n_steps))


def use_one_thread():
    """Call this before the libraries are loaded."""
    for name in ("OMP", "NUMBA", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


# ---- Plain loops


def soft_threshold(v, threshold):
    from torch.nn.functional import relu

    return relu(v - threshold) - relu(-v - threshold)


def synthesize(z, atoms, stride, spatial_shape):
    from torch.nn.functional import conv_transpose2d

    rest = [(n - s) % stride for n, s in zip(spatial_shape, atoms.shape[2:], strict=True)]
    return conv_transpose2d(z, atoms, stride=stride, output_padding=rest)


def fista_iterates(x, atoms, lmbda, step_size, stride):
    from torch.nn.functional import conv2d

    z = y = soft_threshold(step_size * conv2d(x, atoms, stride=stride), step_size * lmbda)
    t = (1 + 5**0.5) / 2
    while True:
        yield z
        residual = x - synthesize(y, atoms, stride, x.shape[2:])
        v = y + step_size * conv2d(residual, atoms, stride=stride)
        z_old, z = z, soft_threshold(v, step_size * lmbda)
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        y, t = z + (t - 1) / t_next * (z - z_old), t_next


def fista_loop(n_steps, *arguments):
    return next(islice(fista_iterates(*arguments), n_steps - 1, None))


def objective(x, atoms, z, lmbda, stride):
    """In float64."""
    residual = x.double() - synthesize(z.double(), atoms.double(), stride, x.shape[2:])
    return float(0.5 * residual.square().sum() + lmbda * z.double().abs().sum())


def ml_fista_loop(x, layers, lmbdas, step_sizes, strides):
    from torch.nn.functional import conv2d

    y = z = None
    codes, t = [], 1.0
    for _ in range(N_STEPS):
        chain = [y]
        if y is not None:
            second = synthesize(y, layers[1], strides[1], codes[0].shape[2:])
            chain = [synthesize(second, layers[0], strides[0], x.shape[2:]), second, y]
        below, product, codes = x, 1.0, []
        for i, (atoms, mu) in enumerate(zip(layers, step_sizes, strict=True)):
            product = product * mu
            residual = below if y is None else below - chain[i]
            move = mu * conv2d(residual, atoms, stride=strides[i])
            v = move if y is None else chain[i + 1] + move
            below = soft_threshold(v, product * lmbdas[i])
            codes.append(below)
        z_old, z = z, below
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        y = z if z_old is None else z + (t - 1) / t_next * (z - z_old)
        t = t_next
    return z


def lca_loop(x, atoms, lmbda, tau, n_steps):
    import torch
    from torch.nn.functional import conv2d

    drive = conv2d(x, atoms)
    u = a = torch.zeros_like(drive)
    for _ in range(n_steps):
        inhibition = conv2d(synthesize(a, atoms, 1, x.shape[2:]), atoms) - a
        u = u + (drive - u - inhibition) / tau
        a = soft_threshold(u, lmbda)
    return a


# ---- Measures


def interleaved(functions, repeats):
    """Shortest milliseconds of one thread of each function, called in turn; and last results."""
    results = [f() for f in functions]  # compiles and plans
    shortest = [float("inf")] * len(functions)
    for _ in range(repeats):
        for i, f in enumerate(functions):
            start = thread_time()
            results[i] = f()
            shortest[i] = min(shortest[i], 1e3 * (thread_time() - start))
    return shortest, results


def kept_megabytes(function):
    """Memory of the tensors that the graph of a function's result keeps."""
    from torch.autograd.graph import saved_tensors_hooks

    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    del result
    return sum(size for size, _ in sizes.values()) / 1e6


def compared(loop, module, variables, repeats):
    """Times and memory of a loop and a module, with and without gradients.

    ``loop`` and ``module`` return codes; the variables of both are those of their gradients.
    """
    import torch

    def trained(codes, own):
        return torch.autograd.grad(codes().square().sum(), own)

    with torch.no_grad():
        inference, codes = interleaved([loop, module], repeats)
    training, gradients = interleaved(
        [partial(trained, f, own) for f, own in zip((loop, module), variables, strict=True)],
        repeats,
    )
    for ours, theirs in [codes, (gradients[0][0], gradients[1][0])]:
        # A norm: one code that rounding moves across its threshold changes single gradients.
        assert (ours - theirs).norm() <= MAX_DIFFERENCE * theirs.norm()
    memory = [kept_megabytes(f) for f in (loop, module)]
    pairs = {"inference_ms": inference, "training_ms": training, "kept_MB": memory}
    return {
        key: {"loop": round(a, 2), "csc": round(b, 2), "ratio": round(a / b, 2)}
        for key, (a, b) in pairs.items()
    }


def minimum(stride, size=256, n_atoms=64, atom_side=8):
    """Times of codes of a photograph, and of as many steps of FISTA as reach their objective."""
    import torch

    import csc
    from demos.bench.signals import learned_atoms, photograph

    x = photograph(size)
    D = csc.Dictionary(learned_atoms(n_atoms, atom_side), stride=stride)
    lmbda = LMBDA_FRACTION * csc.lmbda_max(x, D)
    module = csc.nn.ImplicitSparseCode(D, lmbda, GAP, unit_norm=False)
    x, atoms = torch.from_numpy(x), torch.from_numpy(D.atoms.copy())
    arguments = x, atoms, lmbda, 1 / D.lipschitz((size, size)), stride
    with torch.no_grad():
        goal = objective(x, atoms, module(x), lmbda, stride)
        reached = (
            objective(x, atoms, z, lmbda, stride) <= goal for z in fista_iterates(*arguments)
        )
        n_steps = 1 + next(i for i, there in enumerate(reached) if there)
        loop = partial(fista_loop, n_steps, *arguments)
        (theirs, ours), _ = interleaved([loop, partial(module, x)], 1)
    times = {"loop": round(theirs, 1), "csc": round(ours, 1), "ratio": round(theirs / ours, 1)}
    return {"gap": GAP, "steps_of_loop": n_steps, "inference_ms": times}


def single_layer(case, repeats):
    import torch

    import csc

    torch.manual_seed(0)
    shape = (case.n_atoms, case.n_channels, case.atom_side, case.atom_side)
    D = csc.nn.random_dictionary(shape, stride=case.stride)
    x = torch.randn(case.n_signals, case.n_channels, case.side, case.side)
    lmbda = LMBDA_FRACTION * csc.lmbda_max(x.numpy(), D)
    module = csc.nn.SparseCode(D, lmbda, N_STEPS, accelerated=True, unit_norm=False)
    atoms = torch.from_numpy(D.atoms.copy()).requires_grad_()
    thresholds = torch.full((case.n_atoms, 1, 1), lmbda).requires_grad_()
    step_size = module.step_size.detach().requires_grad_()
    loop = partial(fista_loop, N_STEPS, x, atoms, thresholds, step_size, case.stride)
    own = module.dictionary.raw_atoms, module.log_lmbda, module.log_step_size
    variables = (atoms, thresholds, step_size), own
    return compared(loop, partial(module, x), variables, repeats)


def two_layers(repeats):
    """The network of digits of ``demos.trainable``, with ten steps."""
    import torch

    import csc

    torch.manual_seed(0)
    x, strides = torch.rand(64, 1, 28, 28), (2, 2)
    shapes = (16, 1, 6, 6), (32, 16, 6, 6)
    D = csc.MultiLayerDictionary(
        csc.nn.random_dictionary(shape, stride=t) for shape, t in zip(shapes, strides, strict=True)
    )
    module = csc.nn.MultiLayerPursuit(
        D, [0.05, 0.05], N_STEPS - 1, accelerated=True, unit_norm=False
    )
    layers = [torch.from_numpy(layer.atoms.copy()).requires_grad_() for layer in D.layers]
    lmbdas = [torch.full((k, 1, 1), 0.05).requires_grad_() for k, *_ in shapes]
    step_sizes = module.step_sizes.detach().requires_grad_()
    loop = partial(ml_fista_loop, x, layers, lmbdas, step_sizes, strides)
    own = (*(layer.raw_atoms for layer in module.layers), *module.log_lmbdas, module.log_step_sizes)
    variables = (*layers, *lmbdas, step_sizes), own
    return compared(loop, lambda: module(x)[-1], variables, repeats)


def lca(repeats, n_steps=30):
    import torch

    import csc

    torch.manual_seed(0)
    D, x = csc.nn.random_dictionary((64, 3, 8, 8)), torch.randn(4, 3, 48, 48)
    module = csc.nn.LCA(D, 1.0, n_steps, unit_norm=False)
    atoms = torch.from_numpy(D.atoms.copy()).requires_grad_()
    threshold = torch.ones(64, 1, 1).requires_grad_()
    loop = partial(lca_loop, x, atoms, threshold, module.tau, n_steps)
    variables = (atoms, threshold), (module.dictionary.raw_atoms, module.log_lmbda)
    return compared(loop, partial(module, x), variables, repeats)


def implicit_memory(n_steps):
    """Memory of the graph of unrolled FISTA, and of the minimum to a tolerance of 1e-6."""
    import torch

    import csc

    torch.manual_seed(0)
    D, x = csc.nn.random_dictionary((32, 1, 8, 8)), torch.randn(2, 1, 64, 64)
    unrolled = csc.nn.SparseCode(D, 0.5, n_steps, accelerated=True)
    implicit = csc.nn.ImplicitSparseCode(D, 0.5, tol=1e-6)
    return {
        "n_steps": n_steps,
        "unrolled_MB": round(kept_megabytes(lambda: unrolled(x)), 2),
        "implicit_MB": round(kept_megabytes(lambda: implicit(x)), 2),
    }
