"""Dense transcriptions of pursuits that obey the multi-layer model: one signal, matrices D_i."""

import numpy as np

from reference.lasso import soft
from reference.multilayer import products


def null_space(rows):
    """Orthonormal columns of the null space, by the SVD."""
    _, s, vt = np.linalg.svd(rows)
    return vt[(s > 1e-9).sum() :].T


def lasso_in_range(A, x, lmbda, N, rho=0.1, n=20_000):
    """min 1/2||x - A g||^2 + lmbda ||g||_1 with g in the range of N, by ADMM."""
    M = N @ np.linalg.inv(N.T @ (A.T @ A + rho * np.eye(len(N))) @ N) @ N.T
    s = w = np.zeros(len(N))
    for _ in range(n):
        g = M @ (A.T @ x + rho * (s - w))
        s_old, s = s, soft(g + w, lmbda / rho)
        w = w + g - s
        if max(np.abs(g - s).max(), np.abs(s - s_old).max()) < 1e-13:
            break
    return s


def constraints(K, cosupports):
    return np.concatenate([k[rows] for k, rows in zip(K[1:], cosupports, strict=False)])


def holistic(dense, x, lmbda, counts):
    """Deepest codes and the cosupports of the mid layers, one zero a layer and round."""
    K, cosupports = products(dense), [[] for _ in counts]
    while True:
        g = lasso_in_range(K[0], x, lmbda, null_space(constraints(K, cosupports)))
        if all(len(c) == n for c, n in zip(cosupports, counts, strict=True)):
            return g, cosupports
        for k, rows, n in zip(K[1:], cosupports, counts, strict=False):
            if len(rows) < n:
                sizes = np.abs(k @ g)
                sizes[rows] = np.inf
                rows.append(int(sizes.argmin()))


def refit(dense, x, g, cosupports):
    """Least squares on the support of g, under the constraints."""
    K, T = products(dense), np.flatnonzero(g)
    N = null_space(constraints(K, cosupports)[:, T])
    out = np.zeros(len(g))
    out[T] = N @ np.linalg.lstsq(K[0][:, T] @ N, x, rcond=None)[0]
    return out


def stripe_norm(g, D):
    """Most non-zeros in a stripe of codes (K, V) in one dimension, window by window."""
    reach, V = -(-D.atom_shape[0] // D.geometry.stride[0]), g.shape[1]
    most = 0
    for v in range(V):
        if D.mode == "circular":
            window = {(v + d) % V for d in range(1 - reach, reach)}
        else:
            window = set(range(max(0, v - reach + 1), min(V, v + reach)))
        most = max(most, int((np.abs(g[:, sorted(window)]) > 1e-12).sum()))
    return most


def projection(layers, dense, x, limits):
    """Codes of all layers: OMP on the product, stopped by the first limit that it breaks."""
    K, chosen = products(dense), []
    A, feasible, r = K[0], np.zeros(K[0].shape[1]), x
    while (r @ r) > 1e-20 * (x @ x) and len(chosen) < len(x):
        chosen.append(int((np.abs(A.T @ r) / np.linalg.norm(A, axis=0)).argmax()))
        g = np.zeros(A.shape[1])
        g[chosen] = np.linalg.lstsq(A[:, chosen], x, rcond=None)[0]
        r = x - A @ g
        norms = [
            stripe_norm((k @ g).reshape(D.n_atoms, -1), D)
            for k, D in zip(K[1:], layers, strict=True)
        ]
        if any(n > limit for n, limit in zip(norms, limits, strict=True)):
            break
        feasible = g
    return [k @ feasible for k in K[1:]]
