"""Dense-matrix transcriptions of the papers: obvious, slow, and sharing no code with csc."""

import itertools

import numpy as np


def code_positions(atom_shape, signal_shape, mode, stride):
    """First sample of every atom position on each axis, in the words of the modes."""
    first = {"full": "0", "circular": "0", "valid": "1 - s", "same": "-((s - 1) // 2)"}[mode]
    stop = {"full": "S - s + 1", "circular": "S", "valid": "S", "same": "S - (s - 1) // 2"}[mode]
    axes = zip(signal_shape, atom_shape, stride, strict=True)
    return [range(eval(first, {"s": s}), eval(stop, {"S": S, "s": s}), t) for S, s, t in axes]


def synthesis_matrix(atoms, signal_shape, mode="full", stride=None):
    """Dense D: columns are the atoms (K-major) at every position, sample by sample."""
    k, c, *s = atoms.shape
    stride = (1,) * len(s) if stride is None else stride
    positions = np.array(list(itertools.product(*code_positions(s, signal_shape, mode, stride))))
    D = np.zeros((c, np.prod(signal_shape), k, len(positions)))
    for offset in itertools.product(*map(range, s)):
        u = positions + offset
        if mode == "circular":
            u %= signal_shape
        v = np.flatnonzero(np.all((u >= 0) & (u < signal_shape), axis=1))
        D[:, np.ravel_multi_index(u[v].T, signal_shape), :, v] += atoms[(..., *offset)].T
    return D.reshape(c * D.shape[1], -1)


def soft(v, t):
    return np.sign(v) * np.maximum(np.abs(v) - t, 0)


def lasso_value(D, x, z, lmbda):
    return 0.5 * np.sum((x - D @ z) ** 2) + lmbda * np.sum(np.abs(z))


def lasso_gap(D, x, z, lmbda):
    r = x - D @ z
    theta = r * min(1.0, lmbda / np.max(np.abs(D.T @ r)))
    dual = 0.5 * x @ x - 0.5 * (x - theta) @ (x - theta)
    return lasso_value(D, x, z, lmbda) - dual


def local_lasso_gap(D, cover, x, z, lmbda, rounds=2):
    """Gap at the best of some dual points; ``cover[s, v]``: an atom at v covers sample s."""
    theta, best = x - D @ z, -np.inf
    for _ in range(rounds + 1):
        dual_infeasibility = (np.abs(D.T @ theta) / lmbda).reshape(-1, cover.shape[1]).max(axis=0)
        s = np.clip(x @ theta / (theta @ theta), 0, 1 / dual_infeasibility.max())
        best = max(best, 0.5 * x @ x - 0.5 * (x - s * theta) @ (x - s * theta))
        theta = theta / np.where(cover, np.maximum(dual_infeasibility, 1), 1).max(axis=1)
    return lasso_value(D, x, z, lmbda) - best


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


def admm(D, x, prox, rho, relaxation, n):
    """Boyd et al. 2011 (3.5)-(3.7), 3.4.3; rho by Wohlberg 2017 for a hundred steps."""
    y, u, iterates = np.zeros(D.shape[1]), np.zeros(D.shape[1]), []
    norm = np.linalg.norm
    for i in range(n):
        A = D.T @ D + rho * np.eye(len(y))
        z = np.linalg.solve(A, D.T @ x + rho * (y - u))
        h = relaxation * z + (1 - relaxation) * y
        y, y_old = prox(h + u, 1 / rho), y
        u = u + h - y
        iterates.append(y)
        primal, dual = norm(z - y) * norm(u), norm(y - y_old) * max(norm(z), norm(y))
        if i < 100 and min(primal, dual) > 0 and max(primal / dual, dual / primal) > 1.2:
            factor = np.clip(np.sqrt(primal / dual), 0.5, 2)
            rho, u = rho * factor, u / factor
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
