"""Regularization parameters that signals turn into numbers."""

import warnings
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from csc._validation import check_number

FIRST_CORRECTION_EXPONENT = 0.3  # of the ratio of numbers of codes; smaller in later steps


@dataclass(frozen=True)
class Relative:
    """Regularization parameter as a fraction of the smallest one at which all codes are zero.

    ``Relative(0.1)`` stands for ``0.1 * lmbda_max``, where ``lmbda_max`` belongs to the
    signals at hand (a whole batch shares one) and to the atoms they meet.

    A learner resolves it once, with its initial atoms, which correlate less with the signals than
    learned ones will: for these, lambda is a smaller fraction of lambda_max (0.03 instead of 0.2 on
    a time series). Where the fraction should be that of learned atoms, learn twice: ``fit``, then set
    ``lmbda`` to ``0.1 * csc.lmbda_max(X, learner.dictionary_)`` and go on with ``warm_start=True``;
    or give a number of codes by `TargetSparsity`.

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
    """Regularization parameter of a learner, given by a number of non-zero codes.

    The first lambda gives the first signals this number of codes with the initial atoms. Each step
    corrects it, while the atoms change:

        lmbda <- lmbda * (n / n_nonzero)^g,   g = 0.3 in batch, 0.3 / sqrt(t) online, in step t,

    where n is the number of non-zero codes per signal in the step. As lambda changes, so does the
    objective: compare learners by `score` only if their lambdas are close.

    Parameters
    ----------
    n_nonzero : float
        Mean number of non-zero codes per signal (with a ``crop``: per window), > 0.

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
        """``lmbda`` after step ``t`` gave ``n`` codes per signal."""
        return lmbda * float(np.clip(n / self.n_nonzero, 0.1, 10)) ** (
            FIRST_CORRECTION_EXPONENT / t**0.5
        )


if TYPE_CHECKING:
    Lmbda: TypeAlias = float | Relative | TargetSparsity  # a number, or what resolves to one
else:
    from csc._typing import ShortName

    Lmbda = ShortName("Lmbda")


def check_lmbda(lmbda):
    """Refuse a ``lmbda`` that is neither relative, nor a target, nor a finite number >= 0."""
    if isinstance(lmbda, Relative | TargetSparsity):
        return
    if isinstance(lmbda, Real) and not isinstance(lmbda, bool):
        check_number("lmbda", lmbda)
    else:
        raise TypeError(
            f"lmbda must be a number or csc.Relative(0.1), got {type(lmbda).__name__}{_hint(lmbda)}"
        )


def _hint(lmbda):
    """What to do with a ``lmbda`` of another type, after a semicolon."""
    if hasattr(lmbda, "prox"):
        return "; a penalty goes into csc.Problem(x, dictionary, penalty)"
    size = np.size(lmbda) if hasattr(lmbda, "shape") or isinstance(lmbda, list | tuple) else 0
    if size == 1:
        return "; take the number in it"
    if size > 1:
        return "; for one per code, pass csc.L1(1.0, weights=...) to csc.Problem"
    return ""


def warn_of_zero_codes(lmbda, lmbda_max, stacklevel):
    """Warn, if ``lmbda`` is above `lmbda_max`, that this is why all codes are zero."""
    if lmbda > lmbda_max > 0:
        warnings.warn(
            f"all codes are zero: lmbda = {lmbda:.3g} is above lmbda_max = {lmbda_max:.3g} of "
            "these signals; choose a smaller one, for example csc.Relative(0.1)",
            stacklevel=stacklevel + 1,
        )


def resolved(penalty, lmbda_max):
    """The penalty with a number as ``lmbda``; only a relative one calls ``lmbda_max()``."""
    lmbda = penalty.lmbda
    if isinstance(lmbda, TargetSparsity):
        raise TypeError(
            f"lmbda is {lmbda}, which is for learners; csc.lmbda_for_sparsity solves one problem "
            "to a number of codes"
        )
    if not isinstance(lmbda, Relative):
        return penalty
    return replace(penalty, lmbda=lmbda.fraction * lmbda_max())
