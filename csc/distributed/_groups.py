"""Groups of signals on workers, and what a learner asks of them."""

from dataclasses import dataclass, replace

from csc.distributed import _work
from csc.distributed._cluster import each, submit, task, tree


@dataclass(frozen=True)
class DaskGroups:
    """As `csc.learn.signals.Groups`, on workers.

    Parameters
    ----------
    signals : DaskSignals
    groups : list of tasks or futures
        Each gives a list of at most one `Group`.
    whole : bool
        Whether they are all there is: codes are then kept, and start the next pass.
    """

    signals: object
    groups: list
    whole: bool

    def resolve(self, dictionary, penalty):
        """The penalty with its strength in numbers, the largest that any group gives."""
        model, name = self._model(_work.Model(dictionary, penalty))
        tasks = each("resolve", _work.resolve, name, [(group, model) for group in self.groups])
        found = self.signals.client.gather(submit(self.signals.client, tasks)[0])
        strengths = [penalty for some in found for penalty in some]
        if not strengths:
            raise ValueError("X holds nothing that was observed; there is nothing to learn from")
        return max(strengths, key=lambda penalty: penalty.lmbda)

    def code(self, dictionary, penalty, tol, starts=None):  # noqa: ARG002  they lie with the signals
        """`DaskBatch` of all groups; the codes stay where the signals are."""
        model, name = self._model(_work.Model(dictionary, penalty, tol))
        kept = self.signals.codes if self.whole else None
        kept = [None] * len(self.groups) if kept is None else kept
        arguments = [(group, model, z) for group, z in zip(self.groups, kept, strict=True)]
        codes = each("code", _work.code_groups, name, arguments)
        batch = DaskBatch(self, model, name, codes, dictionary.geometry.stride)
        root = tree(_work.join_summaries, name, batch.each("sum", _work.summaries))
        codes, [summary] = submit(self.signals.client, codes, [root])
        if self.whole:
            self.signals.codes = codes
        return replace(batch, coded=codes, sums=summary)

    def _model(self, model):
        """The model as a task of a new round: Dask can make it again wherever it is lost."""
        name = self.signals.keys.of_round()
        return task(model, name("atoms")), name


@dataclass(frozen=True)
class DaskBatch:
    """As `csc.learn.batch.Batch`, on workers: what comes here are sums."""

    of: DaskGroups
    model: object
    name: object
    coded: list
    stride: tuple  # of the codes
    sums: object = None

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
        """Sums of `csc.learn.recentre.around` over all groups."""
        leaves = self.each("around", _work.look_around, reach)
        name = self.of.signals.keys.of_round()
        root = tree(_work.join_pairs, name, leaves)
        return submit(self.client, [root])[0][0].result()[0]

    def moved(self, shifts):
        """Move the codes with the windows of their atoms, where they are."""
        if self.of.whole and shifts.any():
            self.of.signals.codes = submit(self.client, self.each("move", _work.move, shifts))[0]

    def worst(self, extents, number):
        """Candidates of `csc.learn.replace.worst` from all groups."""
        tasks = self.each("worst", _work.look_for_worst, extents, number)
        return [one for some in self.client.gather(submit(self.client, tasks)[0]) for one in some]

    @property
    def client(self):
        """Of Dask."""
        return self.of.signals.client
