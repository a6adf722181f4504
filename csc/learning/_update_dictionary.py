"""One update of a dictionary for given codes, without a learner."""

import numpy as np

from csc._typing import Array, AtomSet
from csc._validation import check_count, check_instance
from csc.constraints import UnitBall
from csc.learning._statistics import sums_of_codes
from csc.learning._update import descend
from csc.operators import Dictionary, SparseCodes
from csc.problems import Problem

UNIT_BALL = UnitBall()


def update_dictionary(
    problem: Problem,
    codes: Array | SparseCodes,
    constraint: AtomSet = UNIT_BALL,
    n_passes: int = 10,
) -> Dictionary:
    """Lower the data term of a problem over the atoms, for fixed codes: one half of learning.

        minimise over D   data_term(x, D z)   subject to   d_k in constraint

    Block coordinate descent [1]_ on sums of codes and signals, which never raises the data term if
    it starts within the constraint. With
    a mask, a border that cuts atoms, or another data term than least squares, each call lowers least
    squares above the data term; call it again for more.

    Parameters
    ----------
    problem : Problem
        Its dictionary, with atoms of one size, is where the descent starts.
    codes : array (N, K, *V) or SparseCodes
    constraint : Constraint
    n_passes : int
        Sweeps over all atoms.

    Returns
    -------
    Dictionary

    References
    ----------
    .. [1] J. Mairal, F. Bach, J. Ponce, G. Sapiro, "Online learning for matrix factorization
       and sparse coding", JMLR 11, 2010, Algorithm 2.

    Examples
    --------
    >>> import numpy as np, csc
    >>> z = np.array([[[1.0, 0.0, 0.0, 2.0]]])
    >>> x = csc.Dictionary(np.array([[[0.6, 0.8]]]))(z)
    >>> first = csc.Problem(x, csc.Dictionary(np.array([[[1.0, 0.0]]])), csc.L1(0.1))
    >>> csc.learning.update_dictionary(first, z).atoms.round(3)
    array([[[0.6, 0.8]]])
    """
    check_instance("constraint", constraint, "project", "csc.constraints.UnitBall()")
    check_count("n_passes", n_passes)
    if not isinstance(problem, Problem) or not problem.dictionary.is_convolution:
        raise TypeError(
            f"problem must be a csc.Problem with a csc.Dictionary, got {problem!r}; wrap the signals: "
            "csc.Problem(x, csc.Dictionary(atoms), csc.L1(0.1))"
        )
    if tuple(np.shape(codes) or codes.shape) != problem.code_shape:
        raise ValueError(f"codes must have shape {problem.code_shape}, got {codes.shape}")
    D = problem.dictionary
    if not hasattr(problem.data_term, "majoriser_curvature"):
        raise ValueError(
            f"data_term {problem.data_term!r} has no majoriser_curvature, which updates of the atoms "
            "need; take csc.data_terms.Huber with a small delta"
        )
    if D.sizes is not None:
        raise ValueError(f"the atoms must have one size, as an update fills them all, got {D!r}")
    statistics = sums_of_codes(problem, codes)
    stride = D.geometry.stride if statistics.phi.ndim > 2 else ()
    return Dictionary(descend(D.atoms, statistics, constraint, n_passes, stride), D.mode, D.stride)
