"""Learning in one process and on Dask offer what a learner asks of its executor."""

import inspect

import pytest

from csc.learning import _executor
from csc.learning._batch import Batch
from csc.learning._data import Groups, Signals

pytest.importorskip("distributed", reason="needs Dask: mlcsc[distributed]")

from csc.distributed import DaskSignals
from csc.distributed._dask_groups import DaskBatch, DaskGroups

PAIRS = [
    (_executor.SignalGroups, Groups), (_executor.SignalGroups, DaskGroups),
    (_executor.EncodedSignals, Batch), (_executor.EncodedSignals, DaskBatch),
    (_executor.SignalSource, Signals), (_executor.SignalSource, DaskSignals),
]  # fmt: skip


def parameters(member):
    return list(inspect.signature(member).parameters)


@pytest.mark.parametrize(("protocol", "own"), PAIRS)
def test_every_member_is_implemented_with_the_same_parameters(protocol, own):
    for name, member in vars(protocol).items():
        if name.startswith("_"):
            continue
        assert hasattr(own, name) or name in own.__dataclass_fields__, name
        if inspect.isfunction(member):
            assert parameters(getattr(own, name)) == parameters(member), name


def test_signals_on_dask_are_not_signals_in_memory():
    assert not issubclass(DaskSignals, Signals)
