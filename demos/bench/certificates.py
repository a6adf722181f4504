"""How much the working-set solver would gain from better dual points and from screening.

A photograph and learned atoms as in ``bench coding``. Each line is one round of the working set:
the certified relative gap, the relative suboptimality, the gap with the dual point from residuals
extrapolated over the last five rounds [1], and the fraction of codes that the gap-safe rule [2]
proves to be zero at the minimum.

[1] M. Massias, A. Gramfort, J. Salmon, "Celer: a fast solver for the lasso with dual
    extrapolation", ICML 2018, sec. 3.
[2] E. Ndiaye et al., "Gap safe screening rules for sparsity enforcing penalties", JMLR 18, 2017.
"""

import argparse

import numpy as np

import csc
from csc.certificates import best_dual
from demos._arguments import integer, number
from demos.bench.report import print_json
from demos.bench.signals import learned_atoms, photograph

N_EXTRAPOLATED = 5  # rounds


def extrapolated(residuals):
    """Return the combination of the residuals whose differences have the smallest norm."""
    rows = np.array([r.ravel() for r in residuals], "float64")
    gram = np.diff(rows, axis=0) @ np.diff(rows, axis=0).T
    weights = np.linalg.solve(gram + 1e-12 * np.trace(gram) * np.eye(len(gram)), np.ones(len(gram)))
    return (weights / weights.sum() @ rows[1:]).reshape(residuals[0].shape)


def screened_fraction(problem, active, gap):
    """Return the fraction of codes that the gap-safe rule proves to be zero."""
    r = problem.residual(active.codes)
    correlations = abs(problem.dictionary.adjoint(r)) / active.all_lmbda[0]
    correlations /= max(1, correlations.max())  # dual feasible
    return float((correlations + (2 * gap) ** 0.5 / active.all_lmbda[0] < 1).mean())


def rounds(fraction, size, n_rounds):
    D = csc.Dictionary(learned_atoms(64, 8))
    problem = csc.Problem(photograph(size), D, csc.L1(csc.Relative(fraction)))
    minimum = csc.solve(problem, tol=1e-7).objective
    codes = csc.operators.SparseCodes.of(problem.zeros())
    active, residuals = csc.solvers.ActiveSet(problem, codes, "float32"), []
    for n in range(n_rounds):
        active.certified(0.0)
        objective, gap = (float(a.sum()) for a in active.certificate(active.infeasibility))
        residuals = [*residuals[-N_EXTRAPOLATED:], active.r.copy()]
        row = {"relative_gap": gap / objective, "relative_suboptimality": objective / minimum - 1}
        if len(residuals) > N_EXTRAPOLATED:
            r = extrapolated(residuals).astype(active.r.dtype)
            dual = best_dual(active.layout, active.x, r, 1 / active.all_lmbda, active.positive)
            row["extrapolated_gap"] = 1 - float(dual.sum()) / objective
        print_json(
            bench="certificates", case=f"{size}x{size}, {fraction} lmbda_max", round=n, **row,
            screened=screened_fraction(problem, active, gap),
        )  # fmt: skip
        active.grow()
        active.descend(5)
        active.refine(2)
        active.refresh()


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench certificates", description=__doc__)
    parser.add_argument("--size", type=integer(1), default=256)
    parser.add_argument("--fractions", type=number(0, 1), nargs="+", default=[0.3, 0.1, 0.03])
    parser.add_argument("--rounds", type=integer(1), default=16)
    args = parser.parse_args(argv)
    for fraction in args.fractions:
        rounds(fraction, args.size, args.rounds)
