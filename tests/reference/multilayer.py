"""Dense transcriptions of multi-layer pursuits: matrices D_1, ..., D_L, one signal a column."""

import numpy as np
from scipy.optimize import LinearConstraint, minimize

from reference.lasso import soft, synthesis_matrix


def matrices(layers, spatial_shape):
    """Dense D_i of each layer, and the spatial shape of its codes."""
    dense = []
    for D in layers:
        dense.append(synthesis_matrix(D.atoms, spatial_shape, D.mode, D.geometry.stride))
        n = dense[-1].shape[1] // D.n_atoms
        spatial_shape = D.spatial_code_shape(spatial_shape)
        assert np.prod(spatial_shape) == n
    return dense


def products(dense):
    """K_i = D_{i+1} ... D_L for i = 0, ..., L."""
    K = [np.eye(dense[-1].shape[1])]
    for D in reversed(dense):
        K.insert(0, D @ K[0])
    return K


def value(dense, x, z, lmbdas):
    K = products(dense)
    penalty = sum(lm * np.abs(k @ z).sum() for lm, k in zip(lmbdas, K[1:], strict=True))
    return 0.5 * ((x - K[0] @ z) ** 2).sum() + penalty


def ml_ista_pass(dense, x, z, lmbdas, mus):
    """Sulam et al. 2020, Algorithm 1: codes of all layers after one pass from z."""
    K, below, codes = products(dense), x, []
    for i, (D, mu) in enumerate(zip(dense, mus, strict=True)):
        guess = K[i + 1] @ z
        threshold = lmbdas[i] * np.prod(mus[: i + 1])
        below = soft(guess - mu * D.T @ (D @ guess - below), threshold)
        codes.append(below)
    return codes


def ml_fista(dense, x, z, lmbdas, mus, n):
    """Algorithm 2: codes of all layers after every one of n passes."""
    y, t, iterates = z, 1.0, []
    for _ in range(n):
        codes = ml_ista_pass(dense, x, y, lmbdas, mus)
        t_next = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y = codes[-1] + (t - 1) / t_next * (codes[-1] - z)
        z, t = codes[-1], t_next
        iterates.append(codes)
    return iterates


def dual_value(dense, x, r, us, lmbdas):
    """Value of a dual point, after shrinking it into the feasible set."""
    w, dual_infeasibility = r, 0.0
    for D, u, lm in zip(dense, us, lmbdas, strict=False):
        dual_infeasibility = max(dual_infeasibility, np.abs(u).max() / lm)
        w = D.T @ w - u
    dual_infeasibility = max(dual_infeasibility, np.abs(dense[-1].T @ w).max() / lmbdas[-1])
    s = 1 / max(1.0, dual_infeasibility)
    return 0.5 * x @ x - 0.5 * (x - s * r) @ (x - s * r)


def minimum(dense, x, lmbdas):
    """Least objective, by a general solver of smooth problems with linear constraints."""
    K = products(dense)[1:]
    sizes = [k.shape[0] for k in K]
    m, total = K[-1].shape[1], sum(sizes)
    weights = np.concatenate([np.full(n, lm) for n, lm in zip(sizes, lmbdas, strict=True)])
    A = products(dense)[0]
    stacked = np.vstack(K)
    bounds = np.block([[np.eye(total), -stacked.T.T], [np.eye(total), stacked]])

    def objective(v):
        r = x - A @ v[total:]
        return weights @ v[:total] + 0.5 * r @ r, np.append(weights, -A.T @ r)

    constraint = LinearConstraint(bounds, 0, np.inf)
    start = np.append(np.full(total, 1.0), np.zeros(m))
    options = {"maxiter": 2000, "ftol": 1e-14}
    found = minimize(objective, start, jac=True, method="SLSQP", constraints=[constraint],
                     options=options)  # fmt: skip
    return value(dense, x, found.x[total:], lmbdas)
