"""Dense-matrix transcriptions for patches: D is (n, K), one signal x and its codes z at a time."""

import numpy as np


def lasso_value(D, x, z, weights):
    return 0.5 * np.sum((x - D @ z) ** 2) + np.sum(weights * np.abs(z))


def lasso_gap(D, x, z, weights, positive):
    """Primal minus dual value at the residual scaled to |D^T theta| <= weights."""
    r = x - D @ z
    c = D.T @ r if positive else np.abs(D.T @ r)
    theta = r / max(1.0, np.max(c / weights))
    return lasso_value(D, x, z, weights) - 0.5 * x @ x + 0.5 * (x - theta) @ (x - theta)


def group_lasso_value(D, x, z, lmbda, groups):
    return 0.5 * np.sum((x - D @ z) ** 2) + lmbda * sum(np.linalg.norm(z[g]) for g in groups)


def group_lasso_gap(D, x, z, lmbda, groups):
    """Primal minus dual value at the residual scaled to ||D_g^T theta|| <= lmbda; no overlaps."""
    r = x - D @ z
    theta = r / max(1.0, max(np.linalg.norm(D[:, g].T @ r) for g in groups) / lmbda)
    primal = group_lasso_value(D, x, z, lmbda, groups)
    return primal - 0.5 * x @ x + 0.5 * (x - theta) @ (x - theta)


def shooting(D, x, weights, positive, n_sweeps):
    """Fu 1998: minimise over one code after the other, until a sweep changes no bit."""
    z, r, squares = np.zeros(D.shape[1]), x.copy(), (D**2).sum(axis=0)
    for _ in range(n_sweeps):
        old = z.copy()
        for k in np.flatnonzero(squares):
            d = D[:, k]
            c = d @ r + squares[k] * z[k]
            size = max((c if positive else abs(c)) - weights[k], 0)
            new = np.sign(c) * size / squares[k]
            r -= (new - z[k]) * d
            z[k] = new
        if np.array_equal(z, old):
            break
    return z


def omp(D, x, lmbda, n_nonzero, energy):
    """Pati, Rezaiifar, Krishnaprasad 1993, with least squares from scratch at every step.

    Stops when the next atom would lower 1/2 ||r||^2 by no more than ``lmbda``, too.
    """
    z, taken, r = np.zeros(D.shape[1]), [], x
    norms = np.linalg.norm(D, axis=0)
    while len(taken) < n_nonzero and r @ r > energy:
        fit = np.abs(D.T @ r) / np.where(norms > 0, norms, np.inf)
        fit[taken] = 0
        trial = [*taken, int(np.argmax(fit))]
        codes, _, rank, _ = np.linalg.lstsq(D[:, trial], x, rcond=1e-7)
        left = x - D[:, trial] @ codes
        if fit.max() < 1e-12 or rank < len(trial) or 0.5 * (r @ r - left @ left) <= lmbda:
            break
        taken, r = trial, left
        z[taken] = codes
    return z


def approximate_ksvd(X, D, Z):
    """Rubinstein, Zibulevsky, Elad 2008: one sweep of approximate K-SVD; X is (n, N), Z is (K, N)."""
    D, Z = D.copy(), Z.copy()
    for k in range(D.shape[1]):
        used = Z[k] != 0
        if not used.any():
            continue
        D[:, k] = 0
        g = Z[k, used]
        d = X[:, used] @ g - D @ Z[:, used] @ g
        d = d / np.linalg.norm(d)
        g = X[:, used].T @ d - (D @ Z[:, used]).T @ d
        D[:, k], Z[k, used] = d, g
    return D, Z


def ksvd(X, D, Z):
    """Aharon, Elad, Bruckstein 2006: one sweep, with the SVD of each E_k restricted to its users."""
    D, Z = D.copy(), Z.copy()
    for k in range(D.shape[1]):
        used = Z[k] != 0
        E = (X - D @ Z + np.outer(D[:, k], Z[k]))[:, used]
        U, s, V = np.linalg.svd(E, full_matrices=False)
        D[:, k], Z[k, used] = U[:, 0], s[0] * V[0]
    return D, Z


def weighted_ksvd(beta, X, D, Z, n_iter):
    """Mairal, Elad, Sapiro 2008: as `ksvd`; missing entries of E_k are those of its rank-one fit."""
    D, Z = D.copy(), Z.copy()
    for k in range(D.shape[1]):
        used = Z[k] != 0
        E, b = (X - D @ Z + np.outer(D[:, k], Z[k]))[:, used], beta[:, used]
        for _ in range(n_iter):
            fit = np.outer(D[:, k], Z[k, used])
            U, s, V = np.linalg.svd(b * E + (1 - b) * fit, full_matrices=False)
            D[:, k], Z[k, used] = U[:, 0], s[0] * V[0]
    return D, Z


def approximate_weighted_ksvd(beta, X, D, Z):
    """One sweep of `weighted_ksvd` of one iteration, with the power iteration of `approximate_ksvd`."""
    D, Z = D.copy(), Z.copy()
    for k in range(D.shape[1]):
        used = Z[k] != 0
        E = (beta * (X - D @ Z) + np.outer(D[:, k], Z[k]))[:, used]
        D[:, k] = E @ Z[k, used] / np.linalg.norm(E @ Z[k, used])
        Z[k, used] = E.T @ D[:, k]
    return D, Z
