"""The loop that all learners share: passes over the signals that can stop and resume anywhere."""

import signal
import sys
import warnings
from collections.abc import Iterable
from contextlib import contextmanager
from itertools import islice
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import InputTags, check_random_state
from tqdm import tqdm

from csc._interrupts import Terminated, interruptible, raise_lost_interrupt
from csc._repr_html import card
from csc._typing import Array, SignalsLike
from csc._validation import check_count
from csc.learning._checkpoints import check_checkpoint, write_checkpoint
from csc.learning._data import Signals
from csc.learning._nested import parts_of, with_part
from csc.learning._step import ENERGY_ROUNDING


class Learner(TransformerMixin, BaseEstimator):
    """`fit` of learners that define one step, ``_step``.

    An interrupted step changes nothing. The randomness of a step depends only on its number and the
    seed.
    """

    def __init_subclass__(cls, **more):
        super().__init_subclass__(auto_wrap_output_keys=None, **more)  # codes are not tabular

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; ``deep``: also those of parts, as ``penalty__lmbda``."""
        params = super().get_params(deep)
        if deep:
            own = super().get_params(deep=False)
            params |= {key: item for name in own for key, item in parts_of(name, own[name]).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of parts: ``set_params(penalty__lmbda=0.1)``."""
        nested = {key: params.pop(key) for key in list(params) if "__" in key}
        super().set_params(**params)
        for key, new in nested.items():
            name, _, path = key.partition("__")
            if name not in self._get_param_names():
                super().set_params(**{key: new})  # raises the error of scikit-learn
            setattr(self, name, with_part(getattr(self, name), path, new, name))
        return self

    def get_feature_names_out(self, input_features: object = None) -> Array:  # noqa: ARG002
        """A name for the codes of each (deepest) atom: ``(K,)``."""
        atoms = self.atoms_
        kind, n = type(self).__name__.lower(), len(atoms[-1] if isinstance(atoms, list) else atoms)
        return np.array([f"{kind}{k}" for k in range(n)], dtype=object)

    def __sklearn_tags__(self):
        """Tags of scikit-learn: X is ``(N, C, *S)``, not a matrix of rows."""
        tags = super().__sklearn_tags__()
        tags.input_tags = InputTags(two_d_array=False, three_d_array=True)
        tags.transformer_tags.preserves_dtype = ["float32", "float64"]
        return tags

    def _repr_html_(self):
        """In notebooks: the parameters and, once fitted, a picture of the atoms."""
        if not hasattr(self, "state_"):
            return super()._repr_html_()
        atoms = self.atoms_
        return card(repr(self), atoms[0] if isinstance(atoms, list) else atoms)

    def _repr_mimebundle_(self, **_):
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def fit(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
    ) -> Self:
        """Learn from signals.

        Parameters
        ----------
        X : array (N, C, *S) or list of arrays (C, *S), float32 or float64
            Signals at least as large as the atoms; NaN marks missing samples.
        y : ignored
        mask : array or list of arrays, optional
            1 = observed; broadcastable to the signals.

        Returns
        -------
        self
        """
        return self._fit(X, mask)

    def _fit(self, X, mask=None, sample_weight=None):
        resume = self.warm_start and hasattr(self, "state_")
        check_checkpoint(self)
        signals = self._prepare_input(X, mask, resume, sample_weight)
        with self._checkpointing(stacklevel=5):
            self._before_passes(signals)
            self._passes(signals)
            self._after_passes(signals)
        return self

    def _prepare_input(self, X, mask, resume, sample_weight=None):
        """Check the signals, and prepare the current state or a new one for them."""
        if sample_weight is not None:
            X, mask = Signals(X, mask, sample_weight), None
        signals = self._validate_input(X, mask, resume)
        (self._resume if resume else self._init_state)(signals)
        self.signal_shapes_ = sorted({tuple(shape[1:]) for shape in signals.shapes})
        return signals

    def _remember(self, signals):
        """Store the spatial shapes of the signals: with strides, `inverse_transform` needs them."""
        own = [tuple(shape[1:]) for shape in signals.shapes]
        self.signal_shapes_ = own[:1] if signals.is_array else own

    def _signal_shapes(self, codes, shape, spatial_code_shape):
        """Spatial shape of the signals of codes with shape *V*: given, stored or None."""
        if shape is not None:
            shapes = list(shape) if np.ndim(shape[0]) else [shape] * len(codes)
            if len(shapes) != len(codes):
                raise ValueError(f"shape has {len(shapes)} entries for {len(codes)} codes")
            return shapes
        known = getattr(self, "signal_shapes_", [])
        fits = {
            spatial_shape: tuple(spatial_code_shape(spatial_shape)) for spatial_shape in set(known)
        }
        if [fits[spatial_shape] for spatial_shape in known] == codes:
            return known
        return [next((s for s in reversed(known) if fits[s] == v), None) for v in codes]

    @contextmanager
    def _checkpointing(self, call="fit", stacklevel=4):
        """On Ctrl-C and SIGTERM, keep the atoms so far and write a checkpoint if requested.

        A caller in scikit-learn (a grid search, a pipeline, `fit_transform`) or in
        `csc.restoration` would continue with these atoms as if the fit had ended; for such callers
        the interrupt is raised again.
        """
        try:
            with interruptible(signal.SIGTERM, signal.SIGINT):
                yield
        except KeyboardInterrupt as interrupt:
            if not hasattr(self, "state_"):
                raise
            self._save_checkpoint(always=True)
            warnings.warn(
                f"interrupted after {self.state_.n_steps} steps; the atoms so far are kept; "
                f"{call} with warm_start=True continues",
                stacklevel=stacklevel,
            )
            if isinstance(interrupt, Terminated):
                raise SystemExit(128 + signal.SIGTERM) from None
            if _called_to_continue():
                raise

    def _before_passes(self, signals):
        """Hook before the first pass."""

    def _after_passes(self, signals):
        """Hook after the last pass."""

    def _passes(self, signals, keep=None):
        keep = self._save_checkpoint if keep is None else keep
        size = len(signals) if self.batch_size is None else min(self.batch_size, len(signals))
        n_batches = -(-len(signals) // size)
        passes, batch, planned = self.state_.position
        # if the number of batches per pass has changed, an interrupted pass starts again
        first = passes * n_batches + (batch if planned == n_batches else 0)
        total = self.max_iter * n_batches
        with tqdm(total=total, initial=first, disable=not self.verbose, unit="batch") as bar:
            for t in range(first, total):
                groups = signals.take(self._order(t, len(signals), size), self._window(t))
                after = (*divmod(t + 1, n_batches), n_batches)
                self._step(groups, after, n_batches > 1)
                raise_lost_interrupt()
                keep()
                bar.set_postfix(objective=f"{self.history_[-1].objective:.5g}", refresh=False)
                bar.update()
                if (t + 1) % n_batches == 0 and self._converged(n_batches):
                    break
        keep(always=True)

    @property
    def n_iter_(self) -> int:
        """Passes of `fit` over its signals, the current one included."""
        passes, batch, _ = self._fitted().position
        return passes + (batch > 0)

    def _fitted(self):
        if not hasattr(self, "state_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit first")
        return self.state_

    def _order(self, t, n, size):
        """Indices of the signals of step t; each pass has a new permutation."""
        if size == n:
            return np.arange(n)
        epoch, batch = divmod(t, -(-n // size))
        order = np.random.default_rng((self.seed_, 1, epoch)).permutation(n)
        return np.sort(order[batch * size : (batch + 1) * size])

    def _window(self, t):
        """Spatial shape and generator of the windows that step t uses; None for whole signals."""
        crop = getattr(self, "crop", None)
        return None if crop is None else (crop, np.random.default_rng((self.seed_, 2, t)))

    def _commit(self, state, record):
        """Append a record, in place of any from an interrupted step, and then replace the state."""
        self.history_[self.state_.n_steps :] = [record]
        self.state_ = state

    def _save_checkpoint(self, *, always=False):
        """Write a checkpoint if one is due."""
        due = always or self.state_.n_steps % self.checkpoint_every == 0
        if self.checkpoint is not None and due:
            write_checkpoint(self.checkpoint, self)

    def _converged(self, n_batches):
        """Whether the last pass lowered the mean objective by less than ``tol`` > 0.

        The last two passes must solve the same problem. With homeostasis the objective may rise
        while the norms adapt; then the rise must be small, too.
        """
        records = self.history_[-2 * n_batches :]
        if self.tol == 0 or len(records) < 2 * n_batches or not self._is_one_problem(records):
            return False
        before, after = np.reshape([r.objective for r in records], (2, -1)).mean(axis=1)
        decrease = before - after
        decrease = decrease if getattr(self, "homeostasis", None) is None else abs(decrease)
        return bool(decrease < self.tol * before)

    def _is_one_problem(self, records):
        """Whether two passes had the same signals and ``lmbda``, and no atom was replaced."""
        if any(record.n_replaced or record.n_moved for record in records):
            return False
        lmbdas = [record.lmbda for record in records]
        if max(lmbdas) - min(lmbdas) > self.tol * max(lmbdas):
            return False
        before, after = np.reshape([record.energy for record in records], (2, -1)).sum(axis=1)
        cropped = getattr(self, "crop", None) is not None  # each pass uses other windows
        return cropped or abs(after - before) <= ENERGY_ROUNDING * before


class OnlineLearner(Learner):
    """`partial_fit` and `fit_stream` of learners that also take one batch after the other."""

    def partial_fit(
        self,
        X: SignalsLike,
        y: object = None,  # noqa: ARG002  scikit-learn's signature
        mask: SignalsLike | None = None,
    ) -> Self:
        """Take one online step on the signals ``X``; the first call initialises the atoms."""
        return self._partial_fit(X, mask)

    def _partial_fit(self, X, mask=None, sample_weight=None):
        if not hasattr(self, "state_"):
            check_checkpoint(self)
        signals = self._prepare_input(X, mask, hasattr(self, "state_"), sample_weight)
        groups = signals.take(np.arange(len(signals)), self._window(self.state_.n_steps))
        self._step(groups, self.state_.position, True)
        self._save_checkpoint()
        return self

    def fit_stream(self, stream: Iterable[SignalsLike], steps: int | None = None) -> Self:
        """Take one online step on each item of a stream, which need not fit into memory.

        Ctrl-C and SIGTERM keep the atoms so far, as in `fit`. A learner returned by `csc.resume`
        continues as if it had not stopped, given the rest of the same stream:
        ``itertools.islice(stream, learner.state_.n_steps, None)``.

        Parameters
        ----------
        stream : iterable
            Items are inputs of `partial_fit`: arrays ``(N, C, *S)`` or lists of ``(C, *S)``.
        steps : int, optional
            Maximal number of steps, and of items taken from the stream.

        Returns
        -------
        self
        """
        if steps is not None:
            check_count("steps", steps)
            stream = islice(stream, steps)
        with (
            self._checkpointing(),
            tqdm(total=steps, disable=not self.verbose, unit="batch") as bar,
        ):
            for X in stream:
                self.partial_fit(X)
                raise_lost_interrupt()
                bar.update()
            if hasattr(self, "state_"):
                self._save_checkpoint(always=True)
        return self


def seed_of(random_state):
    """Draw a seed from a ``random_state``: int, RandomState, Generator or None."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise ValueError(f"random_state must be an integer >= 0 or a generator: {error}") from None


def check_crop(crop, spatial_shape, must_fit):
    """Refuse a ``crop`` of wrong length, or smaller than the atoms where these must fit."""
    if crop is None:
        return
    if not isinstance(crop, tuple | list) or len(crop) != len(spatial_shape):
        raise ValueError(f"crop must have {len(spatial_shape)} sizes, one per axis, got {crop!r}")
    for extent in crop:
        check_count("crop", extent)
    if must_fit and any(a < s for a, s in zip(crop, spatial_shape, strict=True)):
        raise ValueError(
            f"crop must be at least as large as the atoms, {tuple(spatial_shape)}, got {crop!r}"
        )


def _called_to_continue():
    """Whether a function called `fit` that continues with its atoms."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(("sklearn.", "csc.restoration.")):
            return True
        frame = frame.f_back
    return False
