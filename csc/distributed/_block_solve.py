"""Sparse coding of one signal too large for one machine: block by block, to the global minimum."""

import signal
from dataclasses import dataclass, replace
from math import prod
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from csc._interrupts import interruptible, raise_lost_interrupt
from csc._memory import check_memory
from csc._progress import progress_callback
from csc._typing import ArrayLike, Mode, Shape, Stride
from csc._validation import check_count, check_like_atoms, check_number, check_signals
from csc.certificates import dual_of
from csc.distributed import _block_tasks, _tasks
from csc.distributed._client import (
    Keys,
    client_of,
    constant_task,
    make_task,
    map_tasks,
    single_task,
    submit,
    tree_reduce,
    workers_of,
)
from csc.distributed._codes import DaskCodes
from csc.distributed._partition import Partition, shape_of
from csc.learning import ARRAYS_WHILE_CODING
from csc.operators import Dictionary
from csc.penalties import L1, Relative
from csc.solvers import Outcome, Progress, Status, converged, ratio, stalled

FIRST_BLOCK_TOL = 0.01  # relative duality gap to which blocks are solved in the first round
BLOCK_TOL_DIVISOR = 10  # the gap of the blocks is divided by this after each round
MIN_BLOCK_TOL_FRACTION = 0.3  # smallest gap of the blocks, as a fraction of the final tolerance
MAX_ROUNDS = 100
MIN_GAP_RATIO = 0.9  # the gap stagnates if three rounds leave more than this fraction of it
SLOW_GAP_RATIO = 0.3  # of the gap left by a round, above which the next one takes other boxes


@dataclass(frozen=True, eq=False)
class DaskSolution:
    """Sparse codes on the workers, with their duality gap.

    Attributes
    ----------
    codes : DaskCodes
    objective, gap : float
        Of the whole signal, computed in float64; see `Solution`.
    status : csc.solvers.Status
    message : str
    history : list of Progress
        One entry per round over all blocks.

    Examples
    --------
    >>> import numpy as np, csc, csc.distributed
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 5))
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     x = da.ones((1, 1, 200), chunks=(1, 1, 50))
    ...     solution = csc.distributed.sparse_code(x, atoms, 2.0, client=client)
    >>> bool(solution.gap <= 1e-4 * solution.objective)
    True
    """

    codes: DaskCodes
    objective: float
    gap: float
    status: Status
    message: str
    history: list

    @property
    def relative_gap(self) -> float:
        """``gap / objective``; 0 where both are 0."""
        return ratio(self.gap, self.objective)

    @property
    def converged(self) -> bool:
        """Whether the tolerance was reached, as in `csc.Solution`."""
        return self.status.converged

    def __repr__(self):
        return (
            f"DaskSolution(objective={self.objective:.6g}, relative_gap={self.relative_gap:.2g}, "
            f"{len(self.codes.blocks)} blocks, {len(self.history)} rounds, "
            f"status={self.status.name}, message={self.message!r})"
        )


class Grid(NamedTuple):
    """A large signal on a cluster: its partition into blocks, and the client."""

    client: object
    keys: Keys
    x: object  # dask.array
    mask: object  # dask.array or None
    partition: Partition
    blocks: list  # of futures


def sparse_code(  # noqa: PLR0913  as csc.sparse_code
    x: Any, atoms: ArrayLike | Dictionary, lmbda: float | Relative, *, mode: Mode = "full",
    stride: Stride = 1, mask: Any = None, positive: bool = False, tol: float = 1e-4,
    block: int | Shape | None = None, client: Any = None, verbose: bool = False,
) -> DaskSolution:  # fmt: skip
    """Sparse codes of a signal of any size: `csc.sparse_code`, block by block on a Dask cluster.

    The code positions are partitioned into boxes, and the boxes are coloured so that those of one
    colour share no sample. The boxes of one colour are solved in parallel with all other codes
    fixed, then those of the next colour. This is block coordinate descent [1]_ on
    ``1/2 ||x - D z||^2 + lmbda ||z||_1``; it converges to the global minimum. Where it is slow, because many
    codes at the faces of boxes depend on each other, rounds alternate with those of boxes that are moved
    by half their side. Neighbours exchange the codes near their faces (halos). Objective and duality gap are
    those of the whole signal: sums and maxima over the blocks.

    Parameters
    ----------
    x : dask.array (N, C, *S), or array
        float32 or float64. NaN and masked entries are missing samples.
    atoms : array (K, C, *s), same dtype, or Dictionary
    lmbda : float or Relative
        > 0.
    mode, stride
        See `Dictionary`; not "circular".
    mask : array or dask.array, optional
        1 = observed; broadcastable to ``x``.
    positive : bool
        Require ``z >= 0``.
    tol : float
        Relative duality gap to reach.
    block : int or tuple, optional
        Spatial shape of a box in code positions, or its side along every axis; by default those of the chunks of
        ``x``. A side is at least two atoms.
    client : distributed.Client, optional
        Default: the current client of Dask.
    verbose : bool
        Show a progress bar; one step is one round over all blocks.

    Returns
    -------
    DaskSolution

    Raises
    ------
    ValueError
        For mode "circular", a ``lmbda`` of 0, a signal of which nothing was observed, and values or
        shapes that do not fit.
    TypeError
        If ``x`` and the atoms are not float32 or float64, or not the same.
    MemoryError
        If a worker could not solve a block in each of its threads.

    References
    ----------
    .. [1] T. Moreau, A. Gramfort, "DiCoDiLe: distributed convolutional dictionary learning",
       IEEE Trans. Pattern Anal. Mach. Intell. 44(5), 2022 (one block of coordinates per worker,
       with locks at the borders; here the blocks take turns by colour, and each is solved).

    Examples
    --------
    >>> import numpy as np, csc, csc.distributed
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> rng = np.random.default_rng(0)
    >>> x, atoms = rng.laplace(size=(1, 1, 200)), rng.standard_normal((3, 1, 5))
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     large = da.from_array(x, chunks=(1, 1, 50))
    ...     blocks = csc.distributed.sparse_code(large, atoms, 2.0, client=client)
    >>> whole = csc.sparse_code(x, atoms, 2.0)
    >>> bool(abs(blocks.objective - whole.objective) <= blocks.gap + whole.gap)
    True
    """
    D = atoms if isinstance(atoms, Dictionary) else Dictionary(atoms, mode, stride)
    check_number("tol", tol)
    _check_positive(lmbda)
    inner = Dictionary(D.atoms, "full", D.stride, D.sizes)  # the mask represents the borders
    with interruptible(signal.SIGINT):
        grid = _partition(x, D, mask, block, client_of(client))
        if isinstance(lmbda, Relative):
            lmbda = lmbda.fraction * _lmbda_max(grid, inner, positive)
        model = _tasks.Model(inner, L1(lmbda, positive=positive), tol)
        with progress_callback(lambda _: None, MAX_ROUNDS, verbose=verbose) as report_progress:
            return _rounds(grid, model, report_progress)


def _check_positive(lmbda):
    """Refuse a ``lmbda`` of 0, with which the dual points of blocks are zero."""
    is_relative = isinstance(lmbda, Relative)
    if check_number("lmbda", lmbda.fraction if is_relative else lmbda) == 0:
        raise ValueError(f"lmbda must be > 0 for blocks, got {lmbda!r}; csc.sparse_code takes 0")


def _partition(x, D, mask, sides, client):
    """Partition a signal into blocks: `Grid`."""
    import dask.array as da

    x = da.asarray(x)
    few = (*x.shape[:2], *(min(n, max(D.atom_shape)) for n in x.shape[2:]))
    like = np.broadcast_to(np.ones((), x.dtype), few)  # allocates no memory
    check_signals(like, D.atoms.shape[1:], "x", fit=D.geometry.must_fit)
    check_like_atoms("x", like, D.atoms)
    if D.mode == "circular":
        raise ValueError("mode must not be 'circular' here; take 'full', 'valid' or 'same'")
    if mask is not None:
        mask = da.broadcast_to(da.asarray(mask), x.shape)
    sides = [max(chunks) for chunks in x.chunks[2:]] if sides is None else sides
    sides = (sides,) * len(D.atom_shape) if np.ndim(sides) == 0 else sides
    if len(sides) != len(D.atom_shape):
        raise ValueError(f"block must have {len(D.atom_shape)} sizes, one per axis, got {sides!r}")
    sides = tuple(check_count("block", side) for side in sides)
    partition = Partition(D.geometry, x.shape[2:], sides)
    _check_worker_memory(partition, x, client)
    return _read(Grid(client, Keys(), x, mask, partition, []))


def _read(grid):
    """The grid with its blocks, which the workers read."""
    partition, arguments = grid.partition, []
    for box in partition.boxes:
        inside, _ = partition.crop(_window_of_block(partition, box))
        part = (slice(None), slice(None), *inside)
        seen = None if grid.mask is None else single_task(grid.mask[part])
        arguments.append((partition, box, single_task(grid.x[part]), seen))
    blocks = map_tasks("read", _block_tasks.read, grid.keys.of_round(), arguments)
    return grid._replace(blocks=submit(grid.client, blocks)[0])


def _window_of_block(partition, box):
    """Samples that a block needs: those of its box and of what its certificate depends on."""
    return partition.window(partition.dilate(box, _block_tasks.CERTIFICATE_REACHES))


def _check_worker_memory(partition, x, client):
    """Refuse blocks so large that a worker cannot solve one in each of its threads."""
    workers = workers_of(client)
    samples = max(prod(shape_of(_window_of_block(partition, box))) for box in partition.boxes)
    n_bytes = ARRAYS_WHILE_CODING * 8 * prod(x.shape[:2]) * samples * workers.threads
    check_memory("blocks of this size", n_bytes, "take smaller ones: block", workers.memory)


def _lmbda_max(grid, dictionary, positive):
    """``lmbda_max`` of the whole signal."""
    arguments = [(block, dictionary, positive) for block in grid.blocks]
    tasks = map_tasks("lmbda_max", _block_tasks.lmbda_max, grid.keys.of_round(), arguments)
    return max(grid.client.gather(submit(grid.client, tasks)[0]))


def _rounds(grid, model, report_progress):
    """Rounds over all colours until the duality gap of the whole signal is small enough."""
    began, tol, history, other = perf_counter(), model.tol, [], None
    codes = halos = [None] * len(grid.blocks)
    message = f"stopped after {MAX_ROUNDS} rounds; use larger blocks or a larger tol"
    outcome = Outcome(Status.MAX_ITER, message)
    for number in range(MAX_ROUNDS):
        if _is_slow(history):
            grid, other = other or _shifted(grid), grid
            codes, halos = _regroup(grid, other.partition, codes)
        inner = model._replace(
            tol=max(FIRST_BLOCK_TOL / BLOCK_TOL_DIVISOR**number, MIN_BLOCK_TOL_FRACTION * tol)
        )
        codes, halos, objective, gap = _round(grid, inner, codes, halos)
        raise_lost_interrupt()
        if objective == 0:
            _check_observed(grid)
        if gap <= tol * objective:
            objective, gap = _certify(grid, model, codes, halos)
        history.append(Progress(number + 1, objective, gap, perf_counter() - began))
        report_progress(history[-1])
        if gap <= tol * objective:
            outcome = converged(ratio(gap, objective), tol)
            break
        if _is_stuck(history, model.dictionary.dtype):
            outcome = stalled(ratio(gap, objective), tol)
            break
    objective, gap = _certify(grid, model, codes, halos)
    shape = (grid.x.shape[0], model.dictionary.n_atoms, *grid.partition.positions)
    return DaskSolution(DaskCodes(grid.client, shape, codes), objective, gap, *outcome, history)


def _is_slow(history):
    """Whether the last round left much of the gap."""
    return len(history) > 1 and history[-1].gap > SLOW_GAP_RATIO * history[-2].gap


def _shifted(grid):
    """The grid whose boxes have their faces in the middle of these."""
    return _read(grid._replace(partition=replace(grid.partition, shifted=True)))


def _regroup(grid, before, codes):
    """Codes and halos of the boxes of a grid, from the codes of the boxes of another partition."""
    name, new, halos = grid.keys.of_round(), [], []
    for i, box in enumerate(grid.partition.boxes):
        parts = [codes[j] for j in before.overlapping(box)]
        new.append(make_task("regroup", _block_tasks.regroup, name, i, grid.blocks[i], *parts))
        halos.append(make_task("halo", _block_tasks.halo, name, i, grid.blocks[i], new[i]))
    return submit(grid.client, new, halos)


def _check_observed(grid):
    """Refuse a signal of which nothing was observed."""
    arguments = [(block,) for block in grid.blocks]
    tasks = map_tasks("observed", _block_tasks.is_observed, grid.keys.of_round(), arguments)
    if not any(grid.client.gather(submit(grid.client, tasks)[0])):
        raise ValueError("nothing was observed: everywhere mask is 0 or x is NaN")


def _round(grid, model, codes, halos):
    """Solve all blocks, colour by colour: new codes and halos, and the global objective and gap."""
    name, partition = grid.keys.of_round(), grid.partition
    model = constant_task(model, name("atoms"))
    new, halos = list(codes), list(halos)
    for colour in partition.colours:
        for i in colour:
            neighbours = partition.neighbours(partition.boxes[i], 1)
            nearby = [halos[j] for j in neighbours if halos[j] is not None]
            new[i] = make_task(
                "solve", _block_tasks.solve, name, i, grid.blocks[i], model, codes[i], nearby
            )
        for i in colour:  # afterwards: blocks of one colour do not depend on each other
            halos[i] = make_task("halo", _block_tasks.halo, name, i, grid.blocks[i], new[i])
    root = _certificate(grid, model, name, new, halos, None)
    new, halos, [part] = submit(grid.client, new, halos, [root])
    return new, halos, *_sums(part.result())


def _certify(grid, model, codes, halos):
    """Objective and duality gap of the whole signal, in float64."""
    name = grid.keys.of_round()
    root = _certificate(grid, constant_task(model, name("atoms")), name, codes, halos, "float64")
    return _sums(submit(grid.client, [root])[0][0].result())


def _certificate(grid, model, name, codes, halos, dtype):
    """Task that adds up the certificates of all blocks."""
    partition, leaves = grid.partition, []
    for i, block in enumerate(grid.blocks):
        neighbours = partition.neighbours(partition.boxes[i], _block_tasks.HALO_REACHES)
        arguments = block, model, codes[i], [halos[j] for j in neighbours], dtype
        leaves.append(make_task("certify", _block_tasks.certify, name, i, *arguments))
    return tree_reduce(_block_tasks.join, name, leaves)


def _sums(part):
    """Objective and duality gap, summed over all signals."""
    dual = dual_of(part.inner, part.energy, part.dual_norm).max(axis=0)
    gap = np.maximum(part.objective - dual, 0)
    return float(part.objective.sum()), float(gap.sum())


def _is_stuck(history, dtype):
    """Whether the last three rounds changed the objective by rounding errors only."""
    if len(history) < 4:
        return False
    before, now = history[-4], history[-1]
    fell = before.objective - now.objective
    return now.gap > MIN_GAP_RATIO * before.gap and fell <= np.finfo(dtype).eps * now.objective
