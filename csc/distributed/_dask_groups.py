"""Groups of signals on Dask workers, and the operations of a learner on them."""

from dataclasses import dataclass, replace

import numpy as np

from csc.data_terms import LEAST_SQUARES
from csc.distributed import _tasks
from csc.distributed._client import constant_task, gather_lists, map_tasks, submit, tree_reduce
from csc.learning import LayersBatch, largest, product


@dataclass(frozen=True)
class DaskGroups:
    """Groups of signals on the workers of a Dask cluster: `SignalGroups` of `csc.learning`.

    Parameters
    ----------
    signals : DaskSignals
    groups : list of tasks or futures
        Each returns a list of at most one `Group`.
    number : int
        Number of signals in all groups.
    weights : list of arrays, optional
        Weights of the signals of each group; None if all are 1.
    """

    signals: object
    groups: list
    number: int
    weights: list | None = None

    @property
    def total_weight(self):
        """Sum of the weights of all signals."""
        return self.number if self.weights is None else sum(float(w.sum()) for w in self.weights)

    @property
    def is_all(self):
        """Whether they contain all signals: their codes are then kept to start the next pass."""
        return self.number == len(self.signals)

    def resolve(self, dictionary, penalty, data_term=LEAST_SQUARES):
        """The penalty with its ``lmbda`` resolved: the largest value of all groups."""
        model, name = self._model(_tasks.Model(dictionary, penalty, data_term=data_term))
        tasks = map_tasks(
            "resolve", _tasks.resolve, name, [(group, model) for group in self.groups]
        )
        resolved = gather_lists(self.signals.client, tasks)
        if not resolved:
            raise ValueError("X contains no observed sample; there is nothing to learn from")
        return max(resolved, key=lambda penalty: penalty.lmbda)

    def resolve_layers(self, model):
        """The penalties of the layers with ``lmbda`` resolved: the largest values of all groups."""
        model, name = self._model(model)
        arguments = [(group, model) for group in self.groups]
        tasks = map_tasks("resolve", _tasks.resolve_layers, name, arguments)
        return largest(gather_lists(self.signals.client, tasks))

    def windows(self, spatial_shape, n, seeds):
        """`csc.learning.window_candidates` of all groups, each with its own seed."""
        pairs = zip(self.groups, seeds.spawn(len(self.groups)), strict=True)
        arguments = [(group, spatial_shape, n, own) for group, own in pairs]
        name = self.signals.keys.of_round()
        return gather_lists(
            self.signals.client, map_tasks("window", _tasks.window_candidates, name, arguments)
        )

    def codes(self, dictionary, penalty, tol):
        """Codes of each group as futures; the codes stay on the workers."""
        model, name = self._model(_tasks.Model(dictionary, penalty, tol))
        arguments = [(group, model) for group in self.groups]
        return submit(self.signals.client, map_tasks("code", _tasks.code_groups, name, arguments))[
            0
        ]

    def encode(self, dictionary, penalty, tol, starts=None, *terms):  # noqa: ARG002  codes lie with the signals
        """Codes of all groups as a `DaskBatch`; they stay with the signals on the workers."""
        model = _tasks.Model(dictionary, penalty, tol, *terms)
        return self._coded(model, dictionary.geometry.stride)

    def encode_layers(self, model, limits, starts=None):  # noqa: ARG002  they lie with the signals
        """Codes of all groups as a `LayersBatch`; they stay with the signals on the workers."""
        strides = [layer.geometry.stride for layer in model.dictionary.layers]
        deep = _tasks.LayersTaskModel(model, limits)
        batch = self._coded(deep, product(strides), with_sizes=model.is_layered)
        return LayersBatch(batch, DaskMidLayerPenalty(batch) if model.is_layered else None)

    def _coded(self, model, stride, *, with_sizes=False):
        model, name = self._model(model)
        kept = self.signals.codes if self.is_all else None
        kept = [None] * len(self.groups) if kept is None else kept
        arguments = [(group, model, z) for group, z in zip(self.groups, kept, strict=True)]
        codes = map_tasks("code", _tasks.code_groups, name, arguments)
        batch = DaskBatch(self, model, name, codes, stride)
        root = tree_reduce(_tasks.join_summaries, name, batch.map_groups("sum", _tasks.summaries))
        arguments = [(group,) for group in self.groups if with_sizes]
        sizes = map_tasks("signal_shapes", _tasks.signal_shapes_of, name, arguments)
        codes, [summary], sizes = submit(self.signals.client, codes, [root], sizes)
        if self.is_all:
            self.signals.codes = codes
        return replace(batch, coded=codes, sums=summary, sizes=sizes)

    def _model(self, model):
        """The model as a task of a new round, which Dask can repeat if a worker is lost."""
        name = self.signals.keys.of_round()
        return constant_task(model, name("atoms")), name


@dataclass(frozen=True)
class DaskBatch:
    """Encoded signals on the workers, as `EncodedSignals`: only sums come to this process."""

    of: DaskGroups
    model: object
    name: object
    coded: list
    stride: tuple  # of the codes
    sums: object = None
    sizes: list | None = None  # spatial shapes of the signals of each group, if needed

    codes = None  # they stay on the workers

    @property
    def groups(self):
        """Groups of signals, as tasks or futures."""
        return self.of.groups

    def map_groups(self, what, function, *more):
        """Tasks that call a function with each group, the model and the codes of the group."""
        pairs = zip(self.groups, self.coded, strict=True)
        arguments = [(group, self.model, z, *more) for group, z in pairs]
        return map_tasks(what, function, self.name, arguments)

    def summary(self):
        """`Summary` of all groups."""
        found = self.sums.result()
        if not found:
            raise ValueError("this batch of X contains no observed sample; drop such signals")
        return found[0]

    def extended_window_sums(self, reach):
        """Sums of `csc.learning.extended_window_sums` over all groups."""
        leaves = self.map_groups("around", _tasks.extended_window_sums, reach)
        name = self.of.signals.keys.of_round()
        root = tree_reduce(_tasks.join_pairs, name, leaves)
        return submit(self.client, [root])[0][0].result()[0]

    def shift_codes(self, shifts):
        """Shift the codes on the workers with the windows of their atoms."""
        if self.of.is_all and shifts.any():
            self.of.signals.codes = submit(
                self.client, self.map_groups("move", _tasks.move, shifts)
            )[0]

    def worst_windows(self, spatial_shape, number):
        """`csc.learning.worst_windows` of all groups."""
        return gather_lists(
            self.client, self.map_groups("worst", _tasks.worst_windows, spatial_shape, number)
        )

    @property
    def client(self):
        """Client of Dask."""
        return self.of.signals.client


@dataclass(frozen=True)
class DaskMidLayerPenalty:
    """Mean penalty of the codes of the intermediate layers, evaluated on the workers.

    Atoms are sent to the workers; a value or a sum of gradients comes back.

    Parameters
    ----------
    batch : DaskBatch
        With the spatial shape of its signals; the signals themselves are not needed.
    """

    batch: DaskBatch

    def value(self, layers):
        """Penalty of the codes at these atoms."""
        tasks = self._each("penalty", _tasks.mid_penalty_values, self._name, layers)
        return sum(gather_lists(self.batch.client, tasks)) / self.batch.of.total_weight

    def gradient(self, layers, i):
        """Gradient with respect to the atoms of layer i >= 0; zero for the first layer."""
        if i == 0:
            return np.zeros(layers[0].shape)
        name = self._name
        leaves = self._each("gradient", _tasks.mid_penalty_gradients, name, layers, i)
        root = tree_reduce(_tasks.join_gradients, name, leaves)
        return submit(self.batch.client, [root])[0][0].result()[0] / self.batch.of.total_weight

    @property
    def _name(self):
        return self.batch.of.signals.keys.of_round()

    def _each(self, what, function, name, layers, *more):
        batch, atoms = self.batch, constant_task(layers, name("layers"))
        weights = batch.of.weights or [None] * len(batch.coded)
        pairs = zip(batch.sizes, batch.coded, weights, strict=True)
        arguments = [(size, batch.model, (z, weight), atoms, *more) for size, z, weight in pairs]
        return map_tasks(what, function, name, arguments)
