"""Learning and coding on a Dask cluster."""

import signal
from typing import Any

from csc._interrupts import interruptible, raise_lost_interrupt
from csc._validation import check_like_atoms
from csc.distributed import _tasks
from csc.distributed._client import constant_task, map_tasks, submit
from csc.distributed._codes import DaskCodes
from csc.distributed._dask_data import DaskSignals
from csc.learning import (
    DictionaryLearning,
    LayersModel,
    MemoryPlan,
    MultiLayerDictionaryLearning,
)


def fit(
    learner: Any, X: Any, *, mask: Any = None, sample_weight: Any = None, client: Any = None
) -> Any:
    """Learn from signals on a Dask cluster: ``learner.fit``, with the codes on the workers.

    Each worker codes its groups of signals (in batch mode starting from their codes of the last
    pass) and returns sums only: the sufficient statistics, the objective and the use of the atoms.
    The sums are added in a tree whose shape depends only on the number of groups. The atoms are
    therefore those of ``learner.fit`` on one machine, for any number of workers and any order in
    which they finish. If a worker is lost, Dask recomputes its results, including the codes of
    earlier passes, so that the atoms do not change.

    A multi-layer learner first learns its layers one by one, each from the codes of the layer
    before, which stay on the workers as well. If the joint objective penalises intermediate layers,
    each step of an update evaluates this penalty and its gradient on the workers.

    Signals are kept in the memory of the workers if they fit there with their codes (see
    `memory_plan`); otherwise each pass reads them from their source again.

    Parameters
    ----------
    learner : DictionaryLearning or MultiLayerDictionaryLearning
        With all its parameters: ``batch_size``, ``checkpoint``, ``verbose``, ``warm_start``, …
    X : dask.array (N, C, *S), or a list or bag of signals (C, *S), or the path of a folder
        A list may contain delayed signals, dask arrays and arrays; a folder contains pictures,
        which are converted to grey, or a Zarr array.
    mask : array or dask.array, or a list, optional
        1 = observed; broadcastable to the signals.
    sample_weight : array (N,), optional
        Weights >= 0 of the signals in the objective, as in ``learner.fit``.
    client : distributed.Client, optional
        Default: the current client of Dask.

    Returns
    -------
    learner
        Fitted. Its checkpoints contain no codes: after `csc.resume` the first pass computes them
        from zero, and the atoms agree with those of an uninterrupted fit up to the tolerance of
        the codes.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ValueError, TypeError
        If there is no client, or the signals do not fit the parameters.
    MemoryError
        If a group of signals does not fit into the memory of a worker.

    Examples
    --------
    >>> import numpy as np, csc, csc.distributed
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> X = da.from_array(np.random.default_rng(0).laplace(size=(60, 1, 8)), chunks=(20, 1, 8))
    >>> learner = csc.DictionaryLearning(5, (3,), lmbda=0.5, max_iter=2, random_state=0)
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     csc.distributed.fit(learner, X, client=client).atoms_.shape
    (5, 1, 3)
    """
    _check(learner)
    with interruptible(signal.SIGINT):
        signals = DaskSignals(X, mask, client, sample_weight=sample_weight)
        deep = isinstance(learner, MultiLayerDictionaryLearning) and learner.pretrain
        learners = [learner, *learner.layers[:1]] if deep else [learner]
        whole = all(_looks_at_all(own, signals) for own in learners)
        signals.load(learner.memory_plan(signals), whole)
        raise_lost_interrupt()
    return learner.fit(signals)


def memory_plan(learner: Any, X: Any, *, client: Any = None) -> MemoryPlan:
    """Estimate the memory that ``fit(learner, X)`` needs on each worker: `MemoryPlan`.

    Nothing is learned. Parameters as in `fit`.

    Examples
    --------
    >>> import numpy as np, csc, csc.distributed
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> learner = csc.DictionaryLearning(64, (8, 8), lmbda=0.1)
    >>> with Client(processes=False, dashboard_address=":0", memory_limit="2GB") as client:
    ...     plan = csc.distributed.memory_plan(learner, da.zeros((500, 1, 512, 512), dtype="float32"))
    >>> plan.signals, plan.fits
    (524288000, False)
    """
    _check(learner)
    return learner.memory_plan(DaskSignals(X, None, client))


def transform(learner: Any, X: Any, *, mask: Any = None, client: Any = None) -> DaskCodes:
    """Codes of signals as in ``learner.transform``, which stay on the workers.

    Parameters
    ----------
    learner : DictionaryLearning or MultiLayerDictionaryLearning
        Fitted. A multi-layer learner returns its deepest codes.
    X : dask.array (N, C, *S), or a list, bag or folder of signals of one shape
    mask, client
        As in `fit`.

    Returns
    -------
    DaskCodes
        ``(N, K, *V)``: `DaskCodes.gather` fetches them, `DaskCodes.to_zarr` writes them. The codes
        of a signal without observed samples are zero.

    Examples
    --------
    >>> import numpy as np, csc, csc.distributed
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> x = np.random.default_rng(0).laplace(size=(60, 1, 8))
    >>> learner = csc.DictionaryLearning(5, (3,), lmbda=0.5, max_iter=2).fit(x)
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     X = da.from_array(x, chunks=(20, 1, 8))
    ...     csc.distributed.transform(learner, X, client=client).shape
    (60, 5, 6)
    """
    _check(learner)
    D, signals = learner.dictionary_, DaskSignals(X, mask, client)
    if isinstance(learner, MultiLayerDictionaryLearning):
        layers = LayersModel(D, learner.penalties_, learner.pursuit)
        model = _tasks.LayersTaskModel(layers, (learner.coding_tol, learner.coding_iter))
        D = D.effective()
        signals.refuse_missing()
    else:
        terms = learner.data_term, learner.gradient_weights
        model = _tasks.Model(D, learner.penalty_, learner.coding_tol, *terms)
    signals.check(D.atoms.shape[1:], D.geometry.must_fit)
    check_like_atoms("X", signals, D.atoms)
    if len(set(signals.shapes)) > 1:
        raise ValueError("X contains signals of several shapes; transform each shape separately")
    n, (_, *spatial_shape) = len(signals), signals.shapes[0]
    shape = (n, D.n_atoms, *D.spatial_code_shape(spatial_shape))
    groups, name = signals.take(range(n)).groups, signals.keys.of_round()
    model, (_, runs) = constant_task(model, name("atoms")), signals.runs(range(n))
    pairs = zip(groups, runs, strict=True)
    arguments = [(group, model, shape, D.dtype, run.start) for group, run in pairs]
    tasks = map_tasks("transform", _tasks.transform, name, arguments)
    return DaskCodes(signals.client, shape, submit(signals.client, tasks)[0])


def _check(learner):
    if not isinstance(learner, DictionaryLearning | MultiLayerDictionaryLearning):
        kind = learner.__name__ if isinstance(learner, type) else type(learner).__name__
        raise TypeError(
            "learner must be an instance of csc.DictionaryLearning or "
            f"csc.MultiLayerDictionaryLearning, got {kind}"
        )


def _looks_at_all(learner, signals):
    """Whether every step of a learner uses all samples of all signals."""
    online = learner.batch_size is not None and learner.batch_size < len(signals)
    return learner.crop is None and not online
