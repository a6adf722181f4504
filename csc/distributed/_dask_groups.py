"""Groups of signals on workers, and what a learner asks of them."""

from dataclasses import dataclass, replace

import numpy as np

from csc.distributed import _tasks as _work
from csc.distributed._client import each, listed, submit, task, tree
from csc.learning import DeepBatch, largest, product


@dataclass(frozen=True)
class DaskGroups:
    """As `csc.learning._data.Groups`, on workers.

    Parameters
    ----------
    signals : DaskSignals
    groups : list of tasks or futures
        Each gives a list of at most one `Group`.
    number : int
        Of the signals in them.
    """

    signals: object
    groups: list
    number: int

    @property
    def whole(self):
        """Whether they are all there is: codes are then kept, and start the next pass."""
        return self.number == len(self.signals)

    def resolve(self, dictionary, penalty):
        """The penalty with its strength in numbers, the largest that any group gives."""
        model, name = self._model(_work.Model(dictionary, penalty))
        tasks = each("resolve", _work.resolve, name, [(group, model) for group in self.groups])
        strengths = listed(self.signals.client, tasks)
        if not strengths:
            raise ValueError("X holds nothing that was observed; there is nothing to learn from")
        return max(strengths, key=lambda penalty: penalty.lmbda)

    def resolve_layers(self, model):
        """The layers' penalties with strengths in numbers, the largest that any group gives."""
        model, name = self._model(model)
        arguments = [(group, model) for group in self.groups]
        tasks = each("resolve", _work.resolve_layers, name, arguments)
        return largest(listed(self.signals.client, tasks))

    def windows(self, extents, n, seeds):
        """`csc.learning._init.candidates` of all groups, each with a seed of its own."""
        pairs = zip(self.groups, seeds.spawn(len(self.groups)), strict=True)
        arguments = [(group, extents, n, own) for group, own in pairs]
        name = self.signals.keys.of_round()
        return listed(self.signals.client, each("window", _work.look_for_windows, name, arguments))

    def codes(self, dictionary, penalty, tol):
        """Codes of each group, as futures: they stay on the workers."""
        model, name = self._model(_work.Model(dictionary, penalty, tol))
        arguments = [(group, model) for group in self.groups]
        return submit(self.signals.client, each("code", _work.code_groups, name, arguments))[0]

    def code(self, dictionary, penalty, tol, starts=None):  # noqa: ARG002  they lie with the signals
        """`DaskBatch` of all groups; the codes stay where the signals are."""
        return self._coded(_work.Model(dictionary, penalty, tol), dictionary.geometry.stride)

    def code_layers(self, model, limits, starts=None):  # noqa: ARG002  they lie with the signals
        """`DeepBatch` of all groups; the codes stay where the signals are."""
        strides = [layer.geometry.stride for layer in model.dictionary.layers]
        deep = _work.DeepModel(model, limits)
        batch = self._coded(deep, product(strides), with_sizes=model.is_layered)
        return DeepBatch(batch, DaskPrices(batch) if model.is_layered else None)

    def _coded(self, model, stride, *, with_sizes=False):
        model, name = self._model(model)
        kept = self.signals.codes if self.whole else None
        kept = [None] * len(self.groups) if kept is None else kept
        arguments = [(group, model, z) for group, z in zip(self.groups, kept, strict=True)]
        codes = each("code", _work.code_groups, name, arguments)
        batch = DaskBatch(self, model, name, codes, stride)
        root = tree(_work.join_summaries, name, batch.each("sum", _work.summaries))
        arguments = [(group,) for group in self.groups if with_sizes]
        sizes = each("extents", _work.extents_of, name, arguments)
        codes, [summary], sizes = submit(self.signals.client, codes, [root], sizes)
        if self.whole:
            self.signals.codes = codes
        return replace(batch, coded=codes, sums=summary, sizes=sizes)

    def _model(self, model):
        """The model as a task of a new round: Dask can make it again wherever it is lost."""
        name = self.signals.keys.of_round()
        return task(model, name("atoms")), name


@dataclass(frozen=True)
class DaskBatch:
    """As `csc.learning._batch.Batch`, on workers: what comes here are sums."""

    of: DaskGroups
    model: object
    name: object
    coded: list
    stride: tuple  # of the codes
    sums: object = None
    sizes: list | None = None  # spatial extents of the signals of each group, where asked for

    codes = None  # they stay where they are

    @property
    def groups(self):
        """Groups of signals."""
        return self.of.groups

    def each(self, what, function, *more):
        """Tasks that call a function with each group, the model and its codes."""
        pairs = zip(self.groups, self.coded, strict=True)
        arguments = [(group, self.model, z, *more) for group, z in pairs]
        return each(what, function, self.name, arguments)

    def summary(self):
        """`Summary` of all groups."""
        found = self.sums.result()
        if not found:
            raise ValueError("X holds nothing that was observed in this batch; drop such signals")
        return found[0]

    def around(self, reach):
        """Sums of `csc.learning._recentre.around` over all groups."""
        leaves = self.each("around", _work.look_around, reach)
        name = self.of.signals.keys.of_round()
        root = tree(_work.join_pairs, name, leaves)
        return submit(self.client, [root])[0][0].result()[0]

    def moved(self, shifts):
        """Move the codes with the windows of their atoms, where they are."""
        if self.of.whole and shifts.any():
            self.of.signals.codes = submit(self.client, self.each("move", _work.move, shifts))[0]

    def worst(self, extents, number):
        """Candidates of `csc.learning._dead_atoms.worst` from all groups."""
        return listed(self.client, self.each("worst", _work.look_for_worst, extents, number))

    @property
    def client(self):
        """Of Dask."""
        return self.of.signals.client


@dataclass(frozen=True)
class DaskPrices:
    """As `csc.learning.multilayer._update.MidLayerPenalty`, on workers: atoms go there, a number or a sum comes back.

    Parameters
    ----------
    batch : DaskBatch
        With the sizes of its signals, which themselves are not needed again.
    """

    batch: DaskBatch

    def value(self, layers):
        """Of the codes at these atoms."""
        tasks = self._each("price", _work.prices, self._name, layers)
        return sum(listed(self.batch.client, tasks)) / self.batch.of.number

    def slope(self, layers, i):
        """Gradient for the atoms of layer i, counted from 0; the first has no price above it."""
        if i == 0:
            return np.zeros(layers[0].shape)
        name = self._name
        root = tree(_work.join_slopes, name, self._each("slope", _work.slopes, name, layers, i))
        return submit(self.batch.client, [root])[0][0].result()[0] / self.batch.of.number

    @property
    def _name(self):
        return self.batch.of.signals.keys.of_round()

    def _each(self, what, function, name, layers, *more):
        batch, atoms = self.batch, task(layers, name("layers"))
        pairs = zip(batch.sizes, batch.coded, strict=True)
        arguments = [(size, batch.model, z, atoms, *more) for size, z in pairs]
        return each(what, function, name, arguments)
