"""The group lasso on an active set: active groups of codes, their residual, descent and Newton steps."""

import numpy as np

from csc._backend import kernels
from csc.certificates import GroupScores, group_certificate, group_lmbdas
from csc.operators import KnownInfeasibility, SparseCodes
from csc.solvers._active_codes import FEW_NEW, ActiveCodes
from csc.solvers._active_set import merged
from csc.solvers._blocks import BLOCK_SIZE
from csc.solvers._conjugate_gradients import FEW_ZEROED, adapted_steps, conjugate_gradients

MAX_ROUNDS_OF_BLOCK = 1000  # of selecting groups
CG_STEPS = 6  # of the system of a Newton step, at first and at least


class ActiveGroups(ActiveCodes):
    """Active groups of codes and their residual ``x - D z``.

    All codes of an active group are stored, also those at zero.

    Parameters
    ----------
    problem : Problem
        Its penalty is a `GroupL21` with a ``group_size`` or a `SparseGroupL21`, lmbda > 0.
    codes : SparseCodes
        First codes.
    dtype : dtype
        Precision to work in.
    """

    ridge = 0.0
    local_gap_factor = 50

    def __init__(self, problem, codes, dtype):
        self.penalty, self.size = problem.penalty, problem.penalty.group_size
        codes = SparseCodes(codes.shape, *_whole_groups(codes, self.size))
        super().__init__(problem.x, problem.dictionary, codes, dtype, problem.mask)
        self.lmbda, self.l1 = map(self.layout.dtype.type, group_lmbdas(self.penalty))
        self.scores, self.known = GroupScores(self.layout, self.penalty), None
        self.cg_steps = CG_STEPS

    def dual_infeasibility(self):
        """Largest score of a group at each position, see `GroupScores`."""
        r, known = self.observed(self.r), self.known
        if known is None:
            largest = self.scores.dual_infeasibility(r)
        else:
            largest = self.scores.dual_infeasibility_near(r, known)
        self.known = KnownInfeasibility(r.copy(), largest)
        return largest

    def certificate(self, infeasibility, *, local=True):
        """Objective and duality gap of each signal ``(N,)`` at the present codes."""
        return group_certificate(self, self.scores, infeasibility, local=local)

    def grow(self):
        """Add the groups that violate optimality most in their neighbourhood, see `worst_positions`; drop zeros."""
        size = self.size
        worst = self.worst_positions()
        selected = self.scores.violating_groups(self.known.r, *worst)
        rows = self.codes.values.reshape(-1, size)
        kept = rows.any(axis=1)
        groups, row, n_new = merged(
            self.codes.index[::size][kept] // size, 1 + np.flatnonzero(kept), selected
        )
        values = np.concatenate([np.zeros((1, size), rows.dtype), rows])[row]
        index = (groups[:, None] * size + np.arange(size)).ravel()
        self.put(SparseCodes(self.codes.shape, index, values.ravel()))
        self.few_are_new = n_new < FEW_NEW * max(len(groups), 1)

    @property
    def has_blocks(self):
        """Whether `minimise` solves blocks of neighbouring groups exactly."""
        return self.layout.is_series and self.size <= BLOCK_SIZE

    def descend(self, n_sweeps):
        """Block coordinate descent: sweeps over the active groups. After the last ones of a round, `refresh`."""
        layout, columns = self.layout, self.columns
        parts = columns.where, columns.atom, *columns.copies, self.scores.curvatures
        kernels(self.r).descend_groups(
            self.r.reshape(-1), self.flat_mask, layout.padded_atoms, layout.runs, (*parts, self.codes.values),
            columns.pieces, (self.size, self.lmbda, self.l1, n_sweeps),
        )  # fmt: skip

    def refine(self, n_sweeps):
        """Newton step of the non-zero groups by conjugate gradients, then sweeps.

        A group that would turn by more than a right angle becomes zero, and with l1 a code that would change sign,
        while the others move as if it had not. The sweeps repair this, and so a step is judged after them.
        If it raises the objective by more than rounding, it is halved twice, then rejected. The number of steps of
        conjugate gradients grows while nearly all groups keep their directions.
        """
        size = self.size
        kept = np.repeat(self.codes.values.reshape(-1, size).any(axis=1), size)
        if not kept.any():
            return
        z = self.codes.values[kept]
        move = self._newton_step(self.columns.part(kept), z)

        def moved(length):
            new = z + z.dtype.type(length) * move
            if self.l1 > 0:
                new[new * z < 0] = 0
            turned = np.einsum("gi,gi->g", new.reshape(-1, size), z.reshape(-1, size)) <= 0
            new[np.repeat(turned, size)] = 0
            return new

        new, is_full = self.take_step(kept, moved, n_sweeps)
        zeroed = ~new.reshape(-1, size).any(axis=1)
        calm = is_full and np.count_nonzero(zeroed) <= FEW_ZEROED * len(zeroed)
        self.cg_steps = adapted_steps(self.cg_steps, calm, CG_STEPS)

    def minimum(self, gram, q, energy, z, block, tol):
        """Codes at the minimum of the problem of a block of whole groups, from ``z`` on."""
        out, gap = np.empty((1, len(z))), np.empty(1)
        groups = self.columns.atom[block[:: self.size]] // self.size
        curvatures = self.scores.curvatures[groups].astype("float64")
        options = group_lmbdas(self.penalty), (tol, MAX_ROUNDS_OF_BLOCK)
        kernels(out).group_lasso_gram(
            gram, q[None], energy, curvatures, *options, z[None], out, gap
        )
        return out[0]

    def _newton_step(self, support, z):
        """Primal-dual Newton step of non-zero groups; codes of 0 stay.

        The Hessian of a norm is as in `csc.kernels.cpu.group_lasso_gram`. It is large across small groups and 0
        along them, so the system is scaled in both directions.
        """
        rows, tiny = z.reshape(-1, self.size), np.finfo(z.dtype).tiny
        norms, used = _norms(rows), (z != 0).astype(z.dtype)
        rest = (support.adjoint(self.observed(self.r)) - self.l1 * np.sign(z)) * used
        w = rest.reshape(rows.shape)
        w = w / np.maximum(_norms(w), max(self.lmbda, tiny))[:, None]
        bend, u = self.lmbda / norms, rows / norms[:, None]
        across = 1 / np.sqrt(1 + bend / self.scores.curvatures.max())
        model, bend_groups = (u.ravel(), w.ravel(), used, across), kernels(z).bend_groups

        def scaled(p):
            out = np.empty_like(p)
            bend_groups(p, p, (*model, np.zeros_like(bend)), out)
            return out

        def hessian(p):
            p = scaled(p)
            out = support.adjoint(self.observed(support.add(p, self.layout.buffer())))
            bend_groups(out, p, (*model, bend), out)
            return out

        gradient = scaled(rest - self.lmbda * u.ravel())
        return scaled(conjugate_gradients(hessian, gradient, self.cg_steps))

    def _objective(self):
        z = self.codes.values
        norms = float(_norms(z.reshape(-1, self.size)).sum(dtype="float64"))
        penalty = self.lmbda * norms + self.l1 * float(abs(z).sum(dtype="float64"))
        return 0.5 * float(self.energies(self.r).sum()) + float(penalty)


def _norms(rows):
    return np.sqrt(np.einsum("gi,gi->g", rows, rows))


def _whole_groups(codes, size):
    """Indices and values of all codes of the groups that are not zero."""
    kept = codes.values != 0
    groups = np.unique(codes.index[kept] // size)
    index = (groups[:, None] * size + np.arange(size)).ravel()
    values = np.zeros(len(index), codes.values.dtype)
    values[np.searchsorted(index, codes.index[kept])] = codes.values[kept]
    return index, values
