"""The layers of a multi-layer learner: shapes, strides, constraints and penalties."""

from dataclasses import dataclass, replace

import numpy as np

from csc._validation import check_atoms, check_count
from csc.constraints import SparseAtoms, UnitSphere
from csc.learning._dictionary_learning import DictionaryLearning
from csc.learning.multilayer._encode import LayersModel
from csc.learning.multilayer._update import product
from csc.operators import COMPOSABLE, MultiLayerDictionary
from csc.penalties import L1, Relative, TargetSparsity


@dataclass(frozen=True)
class Layers:
    """Single-layer learners as the layers of one model.

    Parameters
    ----------
    learners : sequence of DictionaryLearning
    n_nonzero : int, None, or sequence of L - 1 of them
        Non-zeros of the atoms of layers 2, ..., L.
    """

    learners: tuple
    n_nonzero: object

    def __len__(self):
        return len(self.learners)

    def check(self):
        """Refuse layers that do not form one model."""
        if not isinstance(self.learners, tuple | list) or not self.learners:
            raise ValueError(
                f"layers must be a list of csc.DictionaryLearning, got {self.learners!r}"
            )
        for i, learner in enumerate(self.learners):
            if not isinstance(learner, DictionaryLearning):
                raise TypeError(
                    f"layers[{i}] must be a csc.DictionaryLearning, got {type(learner).__name__}"
                )
            learner._check()
            penalty = learner.penalty
            if i + 1 < len(self) and getattr(penalty, "positive", False):
                raise ValueError(
                    f"layers[{i}] asks for codes >= 0, but codes synthesised from deeper ones "
                    "have both signs; only the last layer can have positive codes"
                )
        for what, found in (
            ("mode", {learner.mode for learner in self.learners}),
            ("number of axes of atom_shape", {len(x.atom_shape) for x in self.learners}),
        ):
            if len(found) > 1:
                raise ValueError(f"layers must have one {what}, got {sorted(found)}")
        if self.mode not in COMPOSABLE:
            raise ValueError(f"mode must be one of {', '.join(COMPOSABLE)}, got {self.mode!r}")
        self._check_constraints()

    def _check_constraints(self):
        if np.ndim(self.n_nonzero) and len(self.n_nonzero) != len(self) - 1:
            raise ValueError(
                f"n_nonzero must be a number, or {len(self) - 1} of them, one for each layer but "
                f"the first, got {len(self.n_nonzero)}"
            )
        rng = np.random.default_rng(0)
        for i, (constraint, shape) in enumerate(zip(self.constraints, self.shapes(1), strict=True)):
            once = constraint.project(rng.standard_normal(shape))
            if not np.allclose(constraint.project(once), once, atol=1e-6):
                raise ValueError(
                    f"constraint {self.learners[i].constraint!r} of layers[{i}] and n_nonzero undo "
                    "each other; drop one of them"
                )

    @property
    def mode(self):
        """Allowed positions of the atoms."""
        return self.learners[0].mode

    @property
    def strides(self):
        """Stride of each layer, one number per axis."""
        return [learner._geometry.stride for learner in self.learners]

    @property
    def stride(self):
        """Stride of all layers together."""
        return product(self.strides)

    @property
    def must_fit(self):
        """Whether a signal must be at least as large as the atoms of the product."""
        return self.learners[0]._geometry.must_fit

    @property
    def constraints(self):
        """Constraint of each layer; sparse atoms keep their largest values and have norm one."""
        counts = self.n_nonzero
        if not np.ndim(counts):
            counts = [counts] * (len(self) - 1)
        for count in counts:
            if count is not None:
                check_count("n_nonzero", count)
        return [
            learner.constraint
            if count is None
            else learner.constraint & SparseAtoms(count) & UnitSphere()
            for learner, count in zip(self.learners, [None, *counts], strict=True)
        ]

    def shapes(self, n_channels):
        """Shapes ``(K_i, K_{i-1}, *s_i)`` of the atoms, for signals with this many channels."""
        channels = [n_channels, *(learner.n_atoms for learner in self.learners)]
        return [
            (learner.n_atoms, c, *learner.atom_shape)
            for learner, c in zip(self.learners, channels, strict=False)
        ]

    @property
    def reach(self):
        """Spatial shape of the atoms of the product: ``1 + sum_i (s_i - 1) t_1 ... t_{i-1}``."""
        reach, product = np.ones(len(self.strides[0]), int), 1
        for learner, stride in zip(self.learners, self.strides, strict=True):
            reach = reach + (np.array(learner.atom_shape) - 1) * product
            product = product * np.array(stride)
        return tuple(map(int, reach))

    def random(self, n_channels, rng):
        """Initial atoms: the ``init`` of a layer, or noise of norm one."""
        atoms = []
        for i, (shape, constraint) in enumerate(
            zip(self.shapes(n_channels), self.constraints, strict=True)
        ):
            start = self.learners[i].init
            noise = UnitSphere().project(rng.standard_normal(shape))
            if start is not None and check_atoms(start, f"layers[{i}].init").shape != shape:
                raise ValueError(f"layers[{i}].init must have shape {shape}, got {start.shape}")
            atoms.append(constraint.project(noise if start is None else start))
        return atoms

    def dictionary(self, atoms):
        """`MultiLayerDictionary` of atoms of the layers."""
        pairs = zip(self.learners, atoms, strict=True)
        return MultiLayerDictionary(learner._dictionary(d) for learner, d in pairs)

    def penalties(self, lmbda):
        """Penalties of the layers, with other values of ``lmbda`` if given."""
        own = [L1(x.lmbda) if x.penalty is None else x.penalty for x in self.learners]
        if lmbda is None and any(isinstance(p.lmbda, TargetSparsity) for p in own):
            raise ValueError(
                "lmbda is None, but layers have a TargetSparsity, which the joint phase does not "
                f"support; give lmbda for each of {len(self)} layers"
            )
        if lmbda is None:
            return own
        if not isinstance(lmbda, tuple | list) or len(lmbda) != len(self):
            raise ValueError(
                f"lmbda must be None or one for each of {len(self)} layers, got {lmbda!r}"
            )
        if any(isinstance(own, TargetSparsity) for own in lmbda):
            raise ValueError(
                f"lmbda is {lmbda!r}, but the joint phase does not support TargetSparsity; give "
                "numbers or csc.Relative"
            )
        return [replace(p, lmbda=own) for p, own in zip(own, lmbda, strict=True)]

    def resolved(self, penalties, groups, dictionary):
        """Penalties with ``lmbda`` resolved: the largest values of all groups of signals."""
        if not any(isinstance(p.lmbda, Relative) for p in penalties):
            return penalties
        return groups.resolve_layers(LayersModel(dictionary, penalties))
