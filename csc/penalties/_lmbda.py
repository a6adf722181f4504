"""Regularization parameters that become numbers once the signals are known."""

import warnings
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from csc._validation import check_number

CORRECTION = 0.3  # exponent of the first step towards a target of sparsity


@dataclass(frozen=True)
class Relative:
    """Regularization parameter as a fraction of the smallest one at which all codes are zero.

    ``Relative(0.1)`` stands for ``0.1 * lmbda_max``, where ``lmbda_max`` belongs to the
    signals at hand (a whole batch shares one) and to the atoms they meet.

    A learner resolves it once, with its initial atoms, which correlate less with the signals than
    learned ones will: of these, the strength is a smaller fraction (on a series, 0.2 was 0.03 of
    theirs). Where the fraction should be that of learned atoms, learn twice: ``fit``, then set
    ``lmbda`` to ``0.1 * csc.lmbda_max(X, learner.dictionary_)`` and go on with ``warm_start=True``;
    or ask for a number of codes by `TargetSparsity`.

    Parameters
    ----------
    fraction : float
        Of ``lmbda_max``, at least 0; from 1 on all codes are zero.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> csc.Problem(x, D, csc.L1(csc.Relative(0.5))).penalty
    L1(lmbda=2.0, weights=None, positive=False)
    """

    fraction: float

    def __post_init__(self):
        check_number("fraction", self.fraction)


@dataclass(frozen=True)
class TargetSparsity:
    """A learner's penalty strength, given by the number of codes that it leaves.

    It starts where the initial atoms code the first signals with as many non-zero codes, and is
    corrected after each step, while the atoms change:

        lmbda <- lmbda * (n / n_nonzero)^g,   g = 0.3 in batch, 0.3 / sqrt(t) online, in step t,

    where n is the number of the step's codes. The objective is then that of a moving strength:
    compare learners by `score` only if their strengths are alike.

    Parameters
    ----------
    n_nonzero : float
        Non-zero codes of a signal (with a ``crop``: of a window), in the mean, > 0.

    Examples
    --------
    >>> import numpy as np, csc
    >>> X = np.random.default_rng(0).laplace(size=(200, 1, 6))
    >>> learner = csc.DictionaryLearning(8, (6,), csc.TargetSparsity(2), random_state=0).fit(X)
    >>> float((learner.transform(X) != 0).sum() / len(X)).__round__()
    2
    """

    n_nonzero: float

    def __post_init__(self):
        check_number("n_nonzero", self.n_nonzero, strict=True)

    def corrected(self, lmbda: float, n: float, t: float = 1) -> float:
        """The strength after step ``t`` left ``n`` codes a signal."""
        return lmbda * float(np.clip(n / self.n_nonzero, 0.1, 10)) ** (CORRECTION / t**0.5)


Lmbda: TypeAlias = float | Relative | TargetSparsity  # a number, or what one is made of


def check_lmbda(lmbda):
    """Refuse a strength that is neither relative, nor a target, nor a finite number >= 0."""
    if not isinstance(lmbda, Relative | TargetSparsity):
        check_number("lmbda", lmbda)


def warn_of_zero_codes(lmbda, lmbda_max, stacklevel):
    """Warn, if ``lmbda`` is above `lmbda_max`, that this is why all codes are zero."""
    if lmbda > lmbda_max > 0:
        warnings.warn(
            f"all codes are zero: lmbda = {lmbda:.3g} is above lmbda_max = {lmbda_max:.3g} of "
            "these signals; choose a smaller one, for example csc.Relative(0.1)",
            stacklevel=stacklevel + 1,
        )


def resolved(penalty, lmbda_max):
    """The penalty with a number for its strength; ``lmbda_max()`` is asked where it is relative."""
    lmbda = penalty.lmbda
    if isinstance(lmbda, TargetSparsity):
        raise TypeError(
            f"lmbda is {lmbda}, which is for learners; csc.lmbda_for_sparsity solves one problem "
            "to a number of codes"
        )
    if not isinstance(lmbda, Relative):
        return penalty
    return replace(penalty, lmbda=lmbda.fraction * lmbda_max())
