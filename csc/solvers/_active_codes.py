"""What active sets of codes and of groups of codes have in common: whom they select, and how long a step is."""

from math import inf

import numpy as np

from csc.operators import SparseResidual
from csc.solvers._blocks import minimise_in_blocks

OBJECTIVE_ROUNDING = 1e-15  # relative increase of the objective that is rounding
# Codes with less than this share of the largest violation nearby are not selected yet:
FIRST_WEAK_FACTOR = 0.7  # from zeros on, as few of the others would stay,
WEAK_FACTOR = 0.4  # then,
LATE_WEAK_FACTOR = 0.2  # and once few codes are new, as most of these stay
FEW_NEW = 0.3  # of the active codes or groups
LOCAL_GAP_MARGIN = 1.2  # times the last ratio of the global gap to the local one
SWEEPS = (2, 2, 3)  # over the active codes: before, within and after `refine`


class ActiveCodes(SparseResidual):
    """Active codes and their residual.

    Subclasses have ``dual_infeasibility()``, ``certificate(infeasibility, local)``, ``grow()``, ``descend(n_sweeps)``,
    ``refine(n_sweeps)`` and ``_objective()``.
    """

    few_are_new = False  # of the codes that `grow` added last: then `refine` pays
    # at each position, at the last codes that were certified; above 1 it violates optimality
    infeasibility = None
    local_gap_factor = 20  # times tol: from this gap on the local certificate is computed

    def certified(self, tol):
        """Objective and duality gap of all signals; a sharp gap if it may be at most ``tol``, relative."""
        self.infeasibility = self.dual_infeasibility()
        objective, gap = self._sums(local=False)
        if tol * objective < gap <= self.local_gap_factor * tol * objective:
            global_gap, (_, gap) = gap, self._sums(local=True)
            self.local_gap_factor = LOCAL_GAP_MARGIN * global_gap / gap if gap else inf
        return objective, gap

    def _sums(self, *, local):
        objective, gap = self.certificate(self.infeasibility, local=local)
        return float(objective.sum()), float(gap.sum())

    @property
    def weak_factor(self):
        """Share of the largest violation nearby from which on `grow` should select codes."""
        if not len(self.codes.index):
            return FIRST_WEAK_FACTOR
        return LATE_WEAK_FACTOR if self.few_are_new else WEAK_FACTOR

    def worst_positions(self):
        """Flat positions that violate optimality most in their neighbourhood, and a threshold for each of them.

        At these the dual infeasibility exceeds 1 by more than `weak_factor` times the largest excess among
        the positions whose atoms overlap with their own.
        """
        thresholds = self.layout.local_max(self.infeasibility).reshape(-1) - 1
        np.maximum(thresholds, 0, out=thresholds)
        thresholds *= self.weak_factor
        thresholds += 1
        positions = np.flatnonzero(self.infeasibility.reshape(-1) > thresholds)
        return positions, thresholds[positions]

    @property
    def has_blocks(self):
        """Whether `minimise` solves blocks of neighbouring codes exactly."""
        return self.layout.is_series

    @property
    def needs_refinement(self):
        """Whether `minimise` refines once few codes are new."""
        return True

    def minimise(self, tol, *, uneven):
        """The rest of a round, after `grow`: descent, and once few codes are new, solves of many at once.

        Parameters
        ----------
        tol, uneven
            As of `minimise_in_blocks`.
        """
        self.descend(SWEEPS[0])
        if self.few_are_new:
            if self.has_blocks:
                minimise_in_blocks(self, tol, uneven=uneven)
            if self.needs_refinement:
                self.refine(SWEEPS[1])
        self.descend(SWEEPS[2])
        self.refresh()

    def result(self, dtype):
        """The codes, in the precision of the signals."""
        return self.codes.astype(dtype)

    @property
    def flat_mask(self):
        """The mask as kernels take it: flat, or empty if every sample counts."""
        return np.empty(0, self.layout.dtype) if self.mask is None else self.mask.reshape(-1)

    def take_step(self, kept, moved, n_sweeps):
        """Set the codes that are ``kept`` to ``moved(length)``, then sweep; shorter steps if the objective rises.

        A step that raises it by more than rounding is halved twice, then rejected.

        Returns
        -------
        new : array
            The last ``moved(length)``.
        is_full : bool
            Whether the whole step was taken.
        """
        start, before = self.codes.values.copy(), self._objective() * (1 + OBJECTIVE_ROUNDING)
        for length in (1, 0.5, 0.25):
            new, values = moved(length), start.copy()
            values[kept] = new
            self._set_values(values)
            self.descend(n_sweeps)
            if self._objective() <= before:
                return new, length == 1
        self._set_values(start)
        return new, False

    def _set_values(self, values):
        """Replace the values of the codes, and the residual."""
        self.codes.values[:] = values
        self.refresh()
