"""Dense transcriptions of the convex penalties and of greedy FISTA, sharing no code with csc."""

import numpy as np


def group_norms(z, size, positions):
    """Norms over consecutive atoms of K-major codes of one signal."""
    return np.linalg.norm(z.reshape(-1, size, positions), axis=1)


def elastic_value(z, lmbda, ridge):
    return sum(lmbda * (abs(v) + ridge * v * v / 2) for v in z)


def elastic_dual(x, theta, q, lmbda, ridge):
    """<x, theta> - 1/2 ||theta||^2 - g*(q), the conjugate by its formula entry by entry."""
    conjugate = sum(max(abs(v) - lmbda, 0) ** 2 / (2 * lmbda * ridge) for v in q)
    return x @ theta - theta @ theta / 2 - conjugate


def group_gap(D, x, z, lmbda, size, positions=1):
    r = x - D @ z
    top = group_norms(D.T @ r, size, positions).max()
    theta = r * min(1.0, lmbda / top)
    value = r @ r / 2 + lmbda * group_norms(z, size, positions).sum()
    return value - (x @ theta - theta @ theta / 2)


def greedy_fista(D, x, z, lmbda, L, n):
    """Liang, Luo, Schoenlieb 2022, greedy FISTA, for the lasso; all n iterates."""
    stretch, S, xi = 1.3, 2.0, 0.96
    gamma, y, first, iterates, steps = stretch / L, z, None, [], []
    for _ in range(n):
        v = y - gamma * D.T @ (D @ y - x)
        z_new = np.sign(v) * np.maximum(abs(v) - gamma * lmbda, 0)
        momentum = 0.0 if (y - z_new) @ (z_new - z) >= 0 else 1.0
        moved = np.linalg.norm(z_new - z)
        first = moved if first is None else first
        if moved >= S * first:
            gamma = max(xi * gamma, 1 / L)
        y = z_new + momentum * (z_new - z)
        z = z_new
        iterates.append(z)
        steps.append(gamma)
    return iterates, steps
