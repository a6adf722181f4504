"""Patches, and signals with few codes, in an l1 ball."""

import numpy as np

from csc.solvers._small_signals import code_small_signals

MAX_ROUNDS = 1000  # growing the active set of one signal: far above what was ever needed


def code_small_balls(problem, z, tol):
    """Codes in the ball of each signal, and the sum of their duality gaps. They do not depend on ``z``."""
    structure, radius = problem.structure, problem.penalty.radius

    def kernel(form, products, start, out, gaps):  # noqa: ARG001  one signature for all
        structure.kernels.l1_ball_gram(
            form.gram, *products[:2], radius, (tol, MAX_ROUNDS), out, gaps
        )
        norms = abs(out).sum(axis=1)
        out *= np.minimum(1, radius / np.maximum(norms, radius))[:, None]  # rounding

    if not structure.is_patch:
        return code_small_signals(problem, z, kernel)
    form = structure.gram_form_double
    out, gaps = np.empty_like(form.correlations), form.energies.copy()
    kernel(form, form[1:], None, out, gaps)
    return out.reshape(z.shape).astype(z.dtype, copy=False), float(gaps.sum())
