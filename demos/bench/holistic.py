"""Does holistic pursuit gain as the mid layer gets sparser? The authors' rule, transcribed.

Dense matrices of 50 x 100 and 100 x 50, Gaussian, columns of the first and rows of the second of
unit norm, drawn anew in each trial; deepest codes with some non-zeros, Gaussian in the null space
of some rows of the second. A lasso on codes in the null space of the rows picked so far, its lmbda
by bisection such that the residual has the energy of the noise; then the smallest mid-layer code
not picked yet is picked, until all are (Aberdam, Sulam, Elad, SIAM J. Math. Data Sci. 1(1), 2019,
as in their code; it shares no line with `csc.solvers.HolisticPursuit`). Before the first row is picked, the
codes are those of the projection; with the true rows, those of who knows the zeros. Errors are
means over the trials, relative to the energy of the codes.
"""

import argparse
from math import exp, log

import numpy as np
from scipy.linalg import null_space

from demos._arguments import integer, number
from demos.bench.report import show

N, M1, M2 = 50, 100, 50
SWEEPS, HALVINGS, TOL = 400, 10, 1e-6


def lasso(A, K, y, lmbda, state):
    """ADMM for ``1/2 ||y - A g||^2 + lmbda ||v||_1``, g = v in the range of K; rho = 1."""
    AK, (v, u) = A @ K, state
    back = K @ np.linalg.inv(AK.T @ AK + np.eye(K.shape[1]))
    fixed, mixed = back @ (AK.T @ y), back @ K.T
    for _ in range(SWEEPS):
        g, old = fixed + mixed @ (v - u), v
        h = g + u
        v = np.sign(h) * np.maximum(abs(h) - lmbda, 0)
        u = h - v
        if max(abs(v - old).max(), abs(g - v).max()) < TOL:
            break
    return v, u


def at_noise_level(A, K, y, energy):
    """Codes in the range of K whose residual has that energy."""
    low, high, state = log(1e-4), log(20.0), (np.zeros(M2), np.zeros(M2))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        state = lasso(A, K, y, exp(middle), state)
        fits = ((y - A @ state[0]) ** 2).sum() < energy
        low, high = (middle, high) if fits else (low, middle)
    return state[0]


def draw(zeros, n_nonzero, snr, rng):
    """D_1 D_2, D_2, codes, noisy signal, and the true zeros; noise of standard deviation 0.1."""
    D1, D2 = rng.standard_normal((N, M1)), rng.standard_normal((M1, M2))
    D1, D2 = D1 / np.linalg.norm(D1, axis=0), D2 / np.linalg.norm(D2, axis=1, keepdims=True)
    rows = rng.choice(M1, zeros, replace=False)
    support = rng.choice(M2, n_nonzero, replace=False)
    basis, g = null_space(D2[np.ix_(rows, support)]), np.zeros(M2)
    g[support] = basis @ rng.standard_normal(basis.shape[1])
    x = D1 @ D2 @ g
    scale = 0.1 * N**0.5 * 10 ** (snr / 20) / np.linalg.norm(x)
    return D1 @ D2, D2, scale * g, scale * x + 0.1 * rng.standard_normal(N), rows


def trial(zeros, n_nonzero, snr, seed):
    """Relative errors of projection, holistic pursuit, true zeros; true part of the picks."""
    A, D2, g, y, rows = draw(zeros, n_nonzero, snr, np.random.default_rng(seed))
    energy, picked, errors = N * 0.01, [], []
    for n in range(zeros + 1):
        K = null_space(D2[picked]) if picked else np.eye(M2)
        codes = at_noise_level(A, K, y, energy)
        if n in (0, zeros):
            errors.append(((codes - g) ** 2).sum() / (g**2).sum())
        sizes = abs(D2 @ codes)
        sizes[picked] = np.inf
        if n < zeros:
            picked.append(int(sizes.argmin()))
    told = at_noise_level(A, null_space(D2[rows]), y, energy)
    return *errors, ((told - g) ** 2).sum() / (g**2).sum(), len({*picked} & {*rows}) / zeros


def summary(trials):
    """Means over trials: error of the projection and gains over it in dB, part of true picks."""
    projection, holistic, told, true = np.mean(trials, axis=0)
    wins = float(np.mean([one[1] < one[0] for one in trials]))
    first, second, third = (float(10 * np.log10(e)) for e in (projection, holistic, told))
    return {
        "projection_dB": first, "gain_dB": first - second, "gain_of_true_zeros_dB": first - third,
        "true": float(true), "wins": wins,
    }  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench holistic", description=__doc__)
    parser.add_argument("--trials", type=integer(1), default=60, help="at each point (60)")
    parser.add_argument(
        "--snr", type=number(-50, 200), nargs="+", default=[25, 35, 45], help="in dB"
    )
    parser.add_argument(
        "--zeros", type=integer(1, 99), nargs="+", default=[1, 4, 7, 10], help="of 100 codes"
    )
    parser.add_argument(
        "--nonzero", type=integer(1), default=11, help="deepest codes that are not 0 (11)"
    )
    args = parser.parse_args(argv)
    for snr in args.snr:
        for zeros in args.zeros:
            trials = [trial(zeros, args.nonzero, snr, n) for n in range(args.trials)]
            found = summary(trials)
            show(bench="holistic", snr_dB=snr, zeros=zeros, trials=args.trials, **found)
            print(
                f"{snr:g} dB, {zeros} zeros: projection {found['projection_dB']:.1f} dB, holistic "
                f"gains {found['gain_dB']:.2f} dB, in {found['wins']:.0%} of trials; "
                f"{found['true']:.0%} of its zeros are true; knowing them gains "
                f"{found['gain_of_true_zeros_dB']:.2f} dB"
            )
