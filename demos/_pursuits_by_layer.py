"""Which pursuit finds the codes of all layers of a convolutional cascade, at several noises."""

import warnings
from time import perf_counter

import numpy as np

import csc
from csc.datasets import make_multilayer_dictionary, make_sparse_signals
from demos._pursuits import dB, errors, noisy

EXTENT, CODES = 80, 4  # samples of a signal, and its deepest codes
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # lmbda in units of the noise

# Each method turns signals and a strength for each layer into codes of both layers.


def thresholding(D, x, strengths):
    return D.forward(x, strengths, "hard")


def layered_basis_pursuit(D, x, strengths):
    codes = []
    with warnings.catch_warnings():  # a strength that leaves no codes is one of those tried
        warnings.filterwarnings("ignore", "all codes are zero")
        for layer, lmbda in zip(D.layers, strengths, strict=True):
            x = csc.solve(csc.Problem(x, layer, csc.L1(lmbda)), tol=1e-4).codes
            codes.append(x)
    return codes


def projection(D, x, strengths):  # noqa: ARG001  no strength
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0)] * 2)
    return csc.solve(problem, csc.solvers.ProjectionPursuit((None, None), n_nonzero=CODES)).codes


def basis_pursuit(solver, most):
    def run(D, x, strengths):
        problem = csc.MultiLayerProblem(x, D, [csc.L1(lmbda) for lmbda in strengths])
        codes = csc.solve(problem, solver, tol=1e-2, max_iter=most).codes
        return problem.synthesize_all(codes[-1])[1:]  # of ML-FISTA they are not a chain yet

    return run


def holistic(D, x, strengths):
    problem = csc.MultiLayerProblem(x, D, [csc.L1(0.0), csc.L1(strengths[1])])
    size = int(np.prod(problem.code_shapes[0][1:]))
    zeros = size - CODES * int((D.layers[1].atoms != 0).sum(axis=(1, 2)).max())
    solver = csc.solvers.HolisticPursuit(zeros, per_round=-(-zeros // 4), tol=1e-2, max_sweeps=40)
    return csc.solve(problem, solver).codes


METHODS = {  # and whether the layers have strengths of their own, tuned one after the other
    "layered thresholding": (thresholding, True),
    "layered basis pursuit": (layered_basis_pursuit, True),
    "projection pursuit": (projection, None),
    "ML-FISTA": (basis_pursuit(csc.solvers.MLFISTA(0.1), 400), False),
    "ML-ADMM": (basis_pursuit(csc.solvers.MLADMM(cg_steps=6), 100), False),
    "holistic pursuit": (holistic, False),
}


def tuned(method, own, D, drawn, units):
    """Strengths that err least on these draws: of layer 1 in layer 1, then all in the deepest."""
    x, truth = drawn
    best = [STRENGTHS[0] * unit for unit in units]
    if own is None:
        return best
    for layer in (0, 1) if own else (1,):
        tries = []
        for c in STRENGTHS:
            strengths = [b if own and i != layer else c * units[i] for i, b in enumerate(best)]
            found = method(D, x, strengths)[layer]
            tries.append((errors(found, truth[layer]).mean(), strengths))
        best = min(tries)[1]
    return best


def by_layer(snrs, trials, rng):
    """Errors of both layers by each method at each ratio of signal to noise."""
    D = make_multilayer_dictionary([(8, 1, 24), (10, 8, 4)], 3, rng=1)
    rows = []
    for snr in snrs:
        drawn = []
        for n in (max(2, trials // 5), trials):
            x, codes, _ = make_sparse_signals(D, CODES, (EXTENT,), n, rng=rng)
            y, sigma = noisy(x, snr, rng)
            drawn.append((y, codes))
        tops = [abs(drawn[0][1][0]).max() / 4] * 2  # thresholds: an eighth of a code and up
        for name, (method, own) in METHODS.items():
            units = tops if method is thresholding else [sigma, sigma]
            strengths = tuned(method, own, D, drawn[0], units)
            start = perf_counter()
            found = method(D, drawn[1][0], strengths)
            seconds = perf_counter() - start
            each = [errors(a, b) for a, b in zip(found, drawn[1][1], strict=True)]
            rows.append({
                "snr_dB": snr, "method": name, "strengths": [float(lmbda) for lmbda in strengths],
                "median_dB": [dB(np.median(e)) for e in each],
                "mean_dB": [dB(e.mean()) for e in each], "seconds": seconds,
            })  # fmt: skip
    return rows
