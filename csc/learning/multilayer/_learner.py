"""Joint learning of the dictionaries of several layers."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from math import inf
from typing import Any, Self

import numpy as np
from sklearn.base import clone

from csc._backend import check_same_device, namespace, to_host
from csc._progress import progress_iter
from csc._typing import Array, ArrayLike, Codes, File, Shape, SignalsLike, Solver
from csc._validation import check_count, check_like_atoms, check_number
from csc.learning._base import OnlineLearner, check_crop, seed_of
from csc.learning._batch import weighted_objective
from csc.learning._data import Signals
from csc.learning._diagnostics import Diagnostics, examine
from csc.learning._dictionary_learning import DictionaryLearning
from csc.learning._executor import SignalSource
from csc.learning._init import windows_of
from csc.learning._memory_plan import MemoryPlan
from csc.learning.multilayer._encode import (
    MAX_LAYERED_CODES,
    LayersModel,
    encode_layers,
    objectives,
)
from csc.learning.multilayer._layers import Layers
from csc.learning.multilayer._step import (
    LayersStepConfig,
    init_layers_state,
    layer_code_energies,
    update_layers_state,
)
from csc.operators import MultiLayerDictionary, dense_codes
from csc.penalties import Lmbda, Relative

FIRST_CODING_TOL = 0.02  # relative gap of the first codes
UPDATE_PASSES = 5  # over the layers per update, if the batch is all signals; online one pass


@dataclass(eq=False, repr=False)
class MultiLayerDictionaryLearning(OnlineLearner):
    """Learn the dictionaries ``D_1, ..., D_L`` of all layers jointly, by one objective [1]_.

        minimise over D, g_L   mean_n  1/2 ||x_n - D_1 ... D_L g_L||^2 + sum_i p_i(g_i)

    with ``g_{i-1} = D_i g_i``, atoms of layer i in its constraint set and, in layers 2, ..., L, at
    most ``n_nonzero`` non-zeros per atom. With sparse atoms, few deep codes give few codes in all
    layers; otherwise the model may contain only the zero signal ([1]_, sec. V).

    First the layers are learned one by one, each as a `DictionaryLearning` on the codes of the
    layer before. Deeper layers start from windows of these codes, which are sparse; noise is not.
    In the joint phase, a step computes the codes of a batch by the pursuit, adds the moments of the
    deepest codes to the sufficient statistics of the product ``D_1 ... D_L``, and takes projected
    gradient steps with backtracking on each layer. If a batch has all signals, the objective never
    rises: a signal keeps its codes if the pursuit finds no better ones.

    A deepest atom without non-zero codes at ``replace_after`` code positions is replaced by the
    correlations of the worst-coded window with the atoms of the layers above.

    Parameters
    ----------
    layers : list of DictionaryLearning
        Model of each layer (``n_atoms``, ``atom_shape``, ``stride``, penalty, constraint,
        ``init``), and the parameters with which it is learned first. All have the same ``mode``:
        "full", "valid" or "circular".
    n_nonzero : int or tuple of L - 1 ints, optional
        Maximal number of non-zeros of an atom in layers 2, ..., L, which then has norm one. With
        None, atoms are dense, and only the constraint of their layer applies.
    lmbda : tuple of L floats or Relative, optional
        Regularization parameters of the layers' penalties in the joint objective; None takes
        those of the layers. With zeros for all but the last, only the deepest codes are penalised,
        as in [1]_: the codes of intermediate layers are not computed, and a step is as fast as with
        one layer. All parameters below are keyword-only.
    pursuit : solver, optional
        Of `MultiLayerProblem`: ``csc.solvers.MLFISTA()``, ``csc.solvers.LayeredBasisPursuit()``,
        ``csc.solvers.ProjectionPursuit(limits)``, ... By default `MLADMM`, which reaches the
        minimum; if only the deepest codes are penalised, the fastest single-layer solver on the
        product of the layers.
    pretrain : bool
        Whether `fit` first learns the layers one by one. Otherwise, and in `partial_fit`, they
        start from their ``init`` or from noise.
    batch_size : int, optional
        Signals per step; None for all.
    max_iter : int
        Passes over the signals in the joint phase.
    tol : float
        `fit` stops when a pass lowers the mean objective by less than this fraction, unless it or
        the pass before replaced atoms.
    coding_tol : float
        Relative duality gap of the codes.
    coding_iter : int
        Maximal number of iterations of the pursuit per step.
    forgetting : float
        As in `DictionaryLearning`.
    replace_after : int, optional
        Code positions after which an unused deepest atom is replaced; None never replaces.
    crop : tuple of int, optional
        Each step of the joint phase uses a random window of this spatial shape of each signal.
    warm_start : bool
        `fit` continues from the current state instead of starting anew.
    random_state : int, RandomState, Generator or None
    verbose : bool
        Show a progress bar.
    checkpoint : path, optional
    checkpoint_every : int
        As in `DictionaryLearning`, in both phases.

    Attributes
    ----------
    atoms_ : list of arrays (K_i, K_{i-1}, *s_i)
    dictionary_ : MultiLayerDictionary
        ``dictionary_.effective(i)`` has the atoms of layer i in the domain of the signal.
    penalties_ : list of penalties with ``lmbda`` resolved
    pretrained_ : list of DictionaryLearning
        The layers as they were learned one by one.
    history_ : list of StepRecord
        Of the joint phase.
    n_iter_ : int
    seed_ : int

    Notes
    -----
    Masks and NaN are refused: multi-layer problems do not support missing samples.

    References
    ----------
    .. [1] J. Sulam, V. Papyan, Y. Romano, M. Elad, "Multilayer convolutional sparse modeling:
       pursuit and dictionary learning", IEEE TSP 66(15), 2018, eq. (19) and Algorithm 3.

    Examples
    --------
    >>> import numpy as np, csc
    >>> X = np.random.default_rng(0).laplace(size=(4, 1, 60))
    >>> layers = [csc.DictionaryLearning(4, (6,), 0.3, max_iter=2),
    ...           csc.DictionaryLearning(5, (4,), 0.3, max_iter=2)]
    >>> learner = csc.MultiLayerDictionaryLearning(layers, 3, max_iter=2, random_state=0).fit(X)
    >>> learner.dictionary_.effective().atoms.shape
    (5, 1, 9)
    >>> learner.transform(X).shape
    (4, 5, 52)
    """

    layers: Sequence[DictionaryLearning]
    n_nonzero: int | Sequence[int | None] | None = None
    lmbda: Sequence[Lmbda] | None = None
    _: KW_ONLY
    # the optimisation
    pursuit: Solver | None = None
    pretrain: bool = True
    batch_size: int | None = None
    max_iter: int = 10
    tol: float = 1e-4
    coding_tol: float = 1e-3
    coding_iter: int = 100
    forgetting: float = 4.0
    replace_after: int | None = 20_000
    crop: Sequence[int] | None = None
    # the run
    warm_start: bool = False
    random_state: Any = None
    verbose: bool = False
    checkpoint: File | None = None
    checkpoint_every: int = 100

    def fit(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from signals.

        Parameters
        ----------
        X : array (N, C, *S) or list of arrays (C, *S), float32 or float64
            Signals at least as large as the atoms of all layers together.
        y : ignored
        mask : None
            Missing samples are refused.
        sample_weight : array (N,), optional
            Weights >= 0 of the signals in all objectives, as in `DictionaryLearning.fit`. Deeper layers
            without ``init`` start from windows drawn at random, others for repeated signals.

        Returns
        -------
        self
        """
        return self._fit(X, mask, sample_weight)

    def partial_fit(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take one online step on the signals ``X``; the first call initialises the atoms.

        ``sample_weight`` as in `fit`.
        """
        return self._partial_fit(X, mask, sample_weight)

    def transform(self, X: SignalsLike, layer: int | None = None) -> Codes:
        """Codes ``(N, K_i, *V_i)`` of signals as in `fit`; for a list of signals, a list of codes.

        Parameters
        ----------
        X : array (N, C, *S) or list of arrays (C, *S)
        layer : int, optional
            1 to L; by default the deepest. Codes of intermediate layers are those that the pursuit
            returns; if only the deepest codes are penalised, ``g_{i-1} = D_i g_i``.
        """
        depth = self._depth(layer)
        signals, D, codes = self._validate_signals(Signals(X)), self.dictionary_, []
        self._remember(signals)
        coded = self._coded(signals.take(np.arange(len(signals))))
        for group in progress_iter(coded, "group", verbose=self.verbose):
            if group.codes is not None:
                codes.append(group.codes[depth - 1])
                continue
            z = dense_codes(group.flat.z)
            x = group.flat.problem.x
            codes.append(z if depth == len(D) else D.synthesize(z, None, depth, x.shape[2:]))
        if signals.is_array:
            return namespace(*codes).concatenate(codes)
        return [z for group in codes for z in group]

    def inverse_transform(
        self,
        codes: Codes,
        layer: int | None = None,
        shape: Shape | Sequence[Shape] | None = None,
    ) -> Codes:
        """Signals ``(N, C, *S)`` synthesised from codes of a layer, or a list of them.

        Parameters
        ----------
        codes : array (N, K_i, *V_i) or list of arrays (K_i, *V_i)
        layer : int, optional
            1 to L; by default the deepest.
        shape : tuple, or a list of them, optional
            Spatial shape *S* of the signals, as in `DictionaryLearning.inverse_transform`.
        """
        depth, D = self._depth(layer), self.dictionary_
        spatial_code_shape = lambda spatial_shape: D.spatial_shapes(spatial_shape)[depth]  # noqa: E731
        if isinstance(codes, list):
            shapes = self._signal_shapes([z.shape[1:] for z in codes], shape, spatial_code_shape)
            return [
                D.synthesize(z[None], depth, 0, s)[0] for z, s in zip(codes, shapes, strict=True)
            ]
        return D.synthesize(
            codes, depth, 0, *self._signal_shapes([np.shape(codes)[2:]], shape, spatial_code_shape)
        )

    def score(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Minus the mean objective per signal of ``X``: higher is better at equal penalties.

        ``sample_weight``, an array ``(N,)``, makes it the weighted mean.
        """
        signals, total = self._validate_signals(Signals(X, None, sample_weight)), 0.0
        coded = self._coded(signals.take(np.arange(len(signals))))
        for group in progress_iter(coded, "group", verbose=self.verbose):
            problem, z, weight, _ = group.flat
            if group.problem is not None:
                own = objectives(group.problem, group.codes[-1])
                total += own.sum() if weight is None else weight @ own
            else:
                total += weighted_objective(problem, z, weight)
        weight = signals.weight
        return -float(total) / (len(signals) if weight is None else float(weight.sum()))

    def diagnostics(self) -> list[Diagnostics]:
        """`Diagnostics` of the atoms of each layer; ``unused`` is counted only for the deepest."""
        state = self._fitted()
        atoms = [to_host(d) for d in state.atoms]
        energies = [to_host(e) for e in layer_code_energies(state, self._layers.strides)]
        unused = [np.zeros(len(d), np.int64) for d in state.atoms[:-1]] + [state.unused]
        return [examine(*of_layer) for of_layer in zip(atoms, energies, unused, strict=True)]

    def memory_plan(self, X: SignalsLike) -> MemoryPlan:
        """Estimate the memory that ``fit(X)`` needs: `MemoryPlan`. Nothing is learned."""
        return self._memory_plan(self._validate_input(X, None, resume=False))

    @property
    def atoms_(self) -> list[Array]:
        """Atoms of each layer learned so far."""
        return self._fitted().atoms

    @property
    def dictionary_(self) -> MultiLayerDictionary:
        """`MultiLayerDictionary` of the atoms learned so far."""
        return self._layers.dictionary(self.atoms_)

    @property
    def _layers(self):
        return Layers(self.layers, self.n_nonzero)

    def _depth(self, layer):
        depth = len(self.layers) if layer is None else check_count("layer", layer)
        if depth > len(self.layers):
            raise ValueError(f"layer must be 1 to {len(self.layers)}, got {layer}")
        return depth

    def _validate_input(self, X, mask, resume):
        """Check all parameters and the signals."""
        self._check()
        if resume:
            present, asked = [d.shape for d in self.state_.atoms], self._layers
            if present != asked.shapes(present[0][1]):
                raise ValueError(
                    f"layers ask for atoms of shapes {asked.shapes(present[0][1])}, but atoms of "
                    f"shapes {present} are learned so far"
                )
        signals = X if isinstance(X, SignalSource) else Signals(X, mask)
        return self._validate_signals(signals, self.state_.atoms[0].shape[1] if resume else None)

    def _validate_signals(self, signals, n_channels=0):
        """Check that the signals fit the layers."""
        layers = self._layers
        n_channels = self._fitted().atoms[0].shape[1] if n_channels == 0 else n_channels
        signals.check((n_channels, *layers.reach), layers.must_fit)
        if n_channels is not None:  # None: the signals start a new state
            check_like_atoms("X", signals.first, self.state_.atoms[0])
        signals.refuse_missing()
        return signals

    def _check(self):
        self._layers.check()
        self._layers.penalties(self.lmbda)
        for name in ("max_iter", "coding_iter", "checkpoint_every"):
            check_count(name, getattr(self, name))
        for name in ("batch_size", "replace_after"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        for name in ("tol", "coding_tol", "forgetting"):
            check_number(name, getattr(self, name))
        check_crop(self.crop, self._layers.reach, self._layers.must_fit)

    def _memory_plan(self, signals):
        """`MemoryPlan` of the phase that needs the most memory."""
        model = LayersModel(None, self._layers.penalties(self.lmbda), self.pursuit)
        joint = {"batch_size": self.batch_size, "crop": self.crop}
        return signals.memory_plan_of_layers(
            self._layers, joint, MAX_LAYERED_CODES if model.is_layered else 0
        )

    def _init_state(self, signals):
        """Initial state with random or given atoms."""
        inits = {f"layers[{i}].init": layer.init for i, layer in enumerate(self.layers)}
        xp = check_same_device(X=signals.first, **inits)
        if xp is np:
            self._memory_plan(signals).check()
        self.seed_ = seed_of(self.random_state)
        layers, rng = self._layers, np.random.default_rng((self.seed_, 0))
        atoms = layers.random(signals.n_channels, rng)
        atoms = [xp.asarray(d, dtype=signals.dtype) for d in atoms]
        shapes = {tuple(shape[1:]) for shape in signals.shapes}
        is_patch = layers.mode == "full" and shapes == {layers.reach}
        done = 0 if self.pretrain else len(layers)
        self.state_ = init_layers_state(atoms, layers.strides, is_patch, done)
        self.pretrained_, self.history_ = [], []
        self._resolve(signals, atoms)

    def _resolve(self, signals, atoms):
        """Set the penalties; relative ones are resolved on the signals with these atoms."""
        layers, groups = self._layers, signals.take(np.arange(len(signals)))
        penalties = layers.penalties(self.lmbda)
        self.penalties_ = layers.resolved(penalties, groups, layers.dictionary(atoms))

    def _resume(self, signals):  # noqa: ARG002  as DictionaryLearning's
        """Use changed penalties; relative ones keep their resolved values."""
        pairs = zip(self.penalties_, self._layers.penalties(self.lmbda), strict=True)
        self.penalties_ = [old if isinstance(new.lmbda, Relative) else new for old, new in pairs]

    def _before_passes(self, signals):
        """Learn the remaining layers one by one."""
        below, n_layers = signals, len(self.layers)
        for i in range(n_layers if self.state_.n_pretrained < n_layers else 0):
            if self.state_.n_pretrained <= i:
                self._pretrain(i, below, signals)
            if i + 1 < n_layers:
                learner = self.pretrained_[i]
                below = below.as_codes(learner.dictionary_, learner.penalty_, learner.coding_tol)

    def _pretrain(self, i, below, signals):
        """Learn layer i >= 0 from the codes of the layer before it."""
        if len(self.pretrained_) == i:
            changes = {"random_state": self.seed_ + i, "checkpoint": None, "verbose": self.verbose}
            learner = clone(self.layers[i]).set_params(**changes)
            if i and learner.init is None:  # noise would have many codes per atom
                rng = np.random.default_rng((self.seed_, 3, i))
                learner.init = windows_of(below, learner.atom_shape, learner.n_atoms, rng)
            learner._init_state(below)
            self.pretrained_.append(learner)
        learner = self.pretrained_[i]

        def keep(always=False):  # noqa: ARG001  the state after the last pass is not complete yet
            if learner.state_.n_steps % self.checkpoint_every == 0:
                self._save_checkpoint(always=True)

        passes, batch, planned = learner.state_.position
        if not (passes and batch == 0 and learner._converged(planned)):  # else it stopped by tol
            learner._passes(below, keep)
        atoms = list(self.state_.atoms)
        atoms[i] = self._layers.constraints[i].project(learner.atoms_)
        if i + 1 == len(self.layers):
            self._resolve(signals, atoms)
        self.state_ = self.state_._replace(atoms=atoms, n_pretrained=i + 1)
        learner.state_, below.codes = learner.state_._replace(codes=None), None

    def _coded(self, groups):
        return encode_layers(groups, self._model, (self.coding_tol, self.coding_iter))

    @property
    def _model(self):
        return LayersModel(self.dictionary_, self.penalties_, self.pursuit)

    def _step(self, groups, position, online):
        """Encode the signals, update the atoms, and only then replace the state."""
        state, layers = self.state_, self._layers
        tol = max(self.coding_tol, FIRST_CODING_TOL / (1 + state.n_steps))
        starts = None if online else state.codes
        batch = groups.encode_layers(self._model, (tol, self.coding_iter), starts)
        config = LayersStepConfig(
            layers.constraints,
            layers.strides,
            self.forgetting if online else inf,  # all signals: the statistics are replaced
            self.replace_after,
            n_passes=1 if online else UPDATE_PASSES,
            lmbda=float(self.penalties_[-1].lmbda),
        )
        state, record = update_layers_state(state, batch, config)
        state = state._replace(position=position, n_pretrained=len(layers))
        self._commit(state._replace(codes=None) if online else state, record)
