"""Patches, and signals with few codes, in an l1 ball."""

import numpy as np

from csc.solvers._small_signals import code_small_signals

MAX_ROUNDS = 1000  # growing the active set of one signal: far above what was ever needed


def code_small_balls(problem, z, tol):
    """Codes in the ball of each signal, and the sum of their duality gaps. They do not depend on ``z``."""
    structure, radius = problem.structure, problem.penalty.radius

    def kernel(form, products, start, out, gaps):  # noqa: ARG001  one signature for all
        options = radius, (tol, MAX_ROUNDS)
        if form.gram is not None:
            structure.kernels.l1_ball_gram(form.gram, *products[:2], *options, out, gaps)
        else:
            for one, *answer in _each(products, out, gaps):
                gram = np.empty((len(form.matrix), len(form.matrix)))
                structure.kernels.correlate_patches(form.matrix * one.seen, form.matrix, gram)
                structure.kernels.l1_ball_gram(gram, *one[:2], *options, *answer)
        norms = abs(out).sum(axis=1)
        out *= np.minimum(1, radius / np.maximum(norms, radius))[:, None]  # rounding

    if not structure.is_patch:
        return code_small_signals(problem, z, kernel)
    form = structure.gram_form_double
    out, gaps = np.empty_like(form.correlations), form.energies.copy()
    kernel(form, form[1:], None, out, gaps)
    return out.reshape(z.shape).astype(z.dtype, copy=False), float(gaps.sum())


def _each(products, out, gaps):
    """`Products`, codes and gap of each signal, as arrays of one."""
    for i in range(len(gaps)):
        part = slice(i, i + 1)
        yield type(products)(*(a[part] for a in products)), out[part], gaps[part]
