"""What learners with one layer of atoms share: codes of new signals, and signals from codes."""

from collections.abc import Sequence

import numpy as np

from csc._backend import check_same_device, namespace
from csc._progress import progress_iter
from csc._typing import ArrayLike, Codes, Shape, SignalsLike
from csc._validation import check_like_atoms
from csc.learning._base import Learner
from csc.learning._batch import weighted_objective
from csc.learning._data import Signals


class SingleLayerLearner(Learner):
    """`transform`, `inverse_transform` and `score` of learners that define ``_solve``.

    ``_solve(x, mask)`` returns the `Solution` of one group of signals on the atoms so far.
    """

    def transform(self, X: SignalsLike, mask: SignalsLike | None = None) -> Codes:
        """Codes ``(N, K, *V)`` of signals as in `fit`, to a relative gap of ``coding_tol``, if any.

        For a list of signals, a list of codes ``(K, *V)``.
        """
        solutions, is_list = self._solved(X, mask)
        codes = [solution.codes for solution, _ in solutions]
        if is_list:
            return [z for group in codes for z in group]
        return namespace(*codes).concatenate(codes)

    def inverse_transform(
        self, codes: Codes, shape: Shape | Sequence[Shape] | None = None
    ) -> Codes:
        """Signals ``(N, C, *S)`` synthesised from codes, or a list of them.

        Parameters
        ----------
        codes : array (N, K, *V) or list of arrays (K, *V)
        shape : tuple, or a list of them, optional
            Spatial shape *S* of the signals, which codes with a stride do not determine. By default those
            of the last signals in `transform` or `fit`, if their codes have this spatial shape; else the
            smallest possible.
        """
        D = self.dictionary_
        if isinstance(codes, list):
            shapes = self._signal_shapes([z.shape[1:] for z in codes], shape, D.spatial_code_shape)
            return [D(z[None], s)[0] for z, s in zip(codes, shapes, strict=True)]
        return D(codes, *self._signal_shapes([np.shape(codes)[2:]], shape, D.spatial_code_shape))

    def score(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Minus the mean objective per signal of ``X``: higher is better at equal penalty.

        ``sample_weight``, an array ``(N,)``, makes it the weighted mean: an integer weight counts as
        the signal given several times.
        """
        solutions, _ = self._solved(X, mask, sample_weight)
        total = sum(self._objective_of(own, weight) for own, weight in solutions)
        return -total / sum(
            len(solution.problem.x) if weight is None else float(weight.sum())
            for solution, weight in solutions
        )

    def _objective_of(self, solution, weight):
        """Sum over the signals of a group of the objective, each times its weight."""
        if weight is None:
            return solution.objective
        return weighted_objective(solution.problem, solution.z, weight)

    def _solved(self, X, mask, sample_weight=None):
        """Solutions of all groups of signals with their weights, and whether the signals are a list."""
        D, signals = self.dictionary_, Signals(X, mask, sample_weight)
        check_same_device(X=signals.first, atoms_=D.atoms)
        signals.check(D.atoms.shape[1:], D.geometry.must_fit)
        check_like_atoms("X", signals.first, D.atoms)
        self._remember(signals)
        groups = signals.take(np.arange(len(signals))).groups
        solutions = [
            (self._solve(x, seen), weight)
            for x, seen, weight in progress_iter(groups, "group", verbose=self.verbose)
        ]
        if sum(len(solution.problem.x) for solution, _ in solutions) < len(signals):
            raise ValueError("X has signals of which nothing was observed; drop them")
        return solutions, not signals.is_array
