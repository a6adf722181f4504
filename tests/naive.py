"""Dense-matrix transcriptions of the papers: obvious, slow, and sharing no code with csc."""

import itertools

import numpy as np


def synthesis_matrix(atoms, signal_extents):
    """Dense D of mode "full": columns are the atoms (K-major) at every position."""
    k, c, *s = atoms.shape
    positions = list(
        itertools.product(*(range(S - e + 1) for S, e in zip(signal_extents, s, strict=True)))
    )
    D = np.zeros((c, *signal_extents, k * len(positions)))
    for j, (atom, v) in enumerate(itertools.product(atoms, positions)):
        window = tuple(slice(a, a + e) for a, e in zip(v, s, strict=True))
        D[(slice(None), *window, j)] = atom
    return D.reshape(-1, D.shape[-1])


def soft(v, t):
    return np.sign(v) * np.maximum(np.abs(v) - t, 0)


def lasso_value(D, x, z, lmbda):
    return 0.5 * np.sum((x - D @ z) ** 2) + lmbda * np.sum(np.abs(z))


def lasso_gap(D, x, z, lmbda):
    r = x - D @ z
    theta = r * min(1.0, lmbda / np.max(np.abs(D.T @ r)))
    dual = 0.5 * x @ x - 0.5 * (x - theta) @ (x - theta)
    return lasso_value(D, x, z, lmbda) - dual


def ista(D, x, z, lmbda, L, n):
    """Daubechies et al. 2004: all n iterates."""
    iterates = []
    for _ in range(n):
        z = soft(z - D.T @ (D @ z - x) / L, lmbda / L)
        iterates.append(z)
    return iterates


def fista(D, x, z, lmbda, L, n, restart):
    """Beck & Teboulle 2009 (4.1)-(4.3), gradient restart of O'Donoghue & Candes 2015."""
    iterates, y, t = [], z, 1.0
    for _ in range(n):
        z_new = soft(y - D.T @ (D @ y - x) / L, lmbda / L)
        if restart and (y - z_new) @ (z_new - z) > 0:
            t = 1.0
        t_new = (1 + np.sqrt(1 + 4 * t**2)) / 2
        y = z_new + (t - 1) / t_new * (z_new - z)
        z, t = z_new, t_new
        iterates.append(z)
    return iterates


def mairal_block_update(phi, psi, d):
    """Mairal et al. 2010, Algorithm 2: one pass, columns one by one, unit ball."""
    d = d.copy()
    for j in range(len(d)):
        if phi[j, j] > 0:
            u = (psi[j] - phi[j] @ d) / phi[j, j] + d[j]
            d[j] = u / max(np.linalg.norm(u), 1)
    return d


def log_penalised_code(gram, q, z, lmbda, scale, n_sweeps, grid):
    """Cyclic minimisation of each scalar problem over a fine grid."""
    z = z.copy()
    for _ in range(n_sweeps):
        for k in range(len(z)):
            rest = q[k] - gram[k] @ z + gram[k, k] * z[k]
            cost = 0.5 * gram[k, k] * grid**2 - rest * grid + lmbda * np.log1p((grid / scale) ** 2)
            z[k] = grid[np.argmin(cost)]
    return z
