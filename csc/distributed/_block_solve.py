"""One signal too large for one machine: coded block by block, to the minimum of the whole."""

from dataclasses import dataclass
from math import prod
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from csc._memory import check_memory
from csc._progress import progress_callback
from csc._typing import ArrayLike, Extents, Mode, Stride
from csc._validation import check_number, check_signals
from csc.certificates import dual_of
from csc.distributed import _block_tasks as _blocks
from csc.distributed import _tasks as _work
from csc.distributed._client import (
    Keys,
    client_of,
    each,
    one,
    submit,
    task,
    tree,
    whole,
    workers_of,
)
from csc.distributed._codes import DaskCodes
from csc.distributed._partition import Partition, extents_of
from csc.learning import CODING
from csc.operators import Dictionary
from csc.penalties import L1, Relative
from csc.solvers import Outcome, Progress, Status, converged, ratio, stalled

LOOSE = 0.01  # relative gap of blocks in the first round,
TIGHTER = 10  # times less in each later one,
SHARE = 0.3  # and of the gap asked for in the end
ROUNDS = 100


@dataclass(frozen=True, eq=False)
class DaskSolution:
    """Codes on workers, with their certificate.

    Attributes
    ----------
    codes : DaskCodes
    objective, gap : float
        Of the whole signal, in float64; see `Solution`.
    status : csc.solvers.Status
    message : str
    history : list of Progress
        One entry a round over all blocks.

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

    def __repr__(self):
        return (
            f"DaskSolution(objective={self.objective:.6g}, relative_gap={self.relative_gap:.2g}, "
            f"{len(self.codes.blocks)} blocks, {len(self.history)} rounds, "
            f"status={self.status.name}, message={self.message!r})"
        )


class Grid(NamedTuple):
    """A large signal on a cluster: its blocks, and who computes."""

    client: object
    keys: Keys
    shape: tuple  # of the signal
    cut: Partition
    blocks: list  # of futures


def sparse_code(  # noqa: PLR0913  as csc.sparse_code
    x: Any, atoms: ArrayLike | Dictionary, lmbda: float | Relative, *, mode: Mode = "full",
    stride: Stride = 1, mask: Any = None, positive: bool = False, tol: float = 1e-4,
    block: int | Extents | None = None, client: Any = None, verbose: bool = False,
) -> DaskSolution:  # fmt: skip
    """Sparse codes of a signal of any size: `csc.sparse_code`, block by block on a Dask cluster.

    The code positions are cut into boxes. Those of one colour, which share no sample, minimise over
    their codes at once, all others as they are; then the next colour: block coordinate descent [1]_
    on ``1/2 ||x - D z||^2 + lmbda ||z||_1``, whose limit is the minimum of the whole. Neighbours
    tell each other their codes near the faces. Objective and duality gap are those of the whole
    signal, sums and maxima over the blocks.

    Parameters
    ----------
    x : dask.array (N, C, *S), or array
        float32 or float64. NaN marks what is missing.
    atoms : array (K, C, *s), same dtype, or Dictionary
    lmbda : float or Relative
    mode, stride
        See `Dictionary`; not "circular".
    mask : array or dask.array, optional
        1 = observed; broadcastable to ``x``.
    positive : bool
        Ask for ``z >= 0``.
    tol : float
        Relative duality gap to reach.
    block : tuple, optional
        Positions of a box, one number an axis; by default the extents of the chunks of ``x``.
    client : distributed.Client, optional
        None takes the present one.
    verbose : bool
        Show a progress bar: a step is a round over all blocks.

    Returns
    -------
    DaskSolution

    References
    ----------
    .. [1] T. Moreau, A. Gramfort, "DiCoDiLe: distributed convolutional dictionary learning",
       IEEE Trans. Pattern Anal. Mach. Intell. 44(5), 2022 (blocks of coordinates, one a worker,
       which lock where they meet; here they take turns by colour, and each is solved).

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
    grid = _cut(x, D, mask, block, client_of(client))
    inner = Dictionary(D.atoms, "full", D.stride, D.sizes)  # borders are a matter of the mask
    if isinstance(lmbda, Relative):
        lmbda = lmbda.fraction * _strongest(grid, inner, positive)
    model = _work.Model(inner, L1(lmbda, positive=positive), tol)
    with progress_callback(lambda _: None, ROUNDS, verbose=verbose) as tell:
        return _rounds(grid, model, tell)


def _cut(x, D, mask, sides, client):
    """The blocks of a signal, read by the workers."""
    import dask.array as da

    x = da.asarray(x)
    few = (*x.shape[:2], *(min(n, max(D.extents)) for n in x.shape[2:]))
    like = np.broadcast_to(np.ones((), x.dtype), few)  # no array of the signal's size is made
    check_signals(like, D.atoms.shape[1:], "x", fit=D.geometry.must_fit)
    if D.mode == "circular":
        raise ValueError("mode must not be 'circular' here; take 'full', 'valid' or 'same'")
    if mask is not None:
        mask = da.broadcast_to(da.asarray(mask), x.shape)
    sides = [max(chunks) for chunks in x.chunks[2:]] if sides is None else sides
    if len(sides) != len(D.extents):
        raise ValueError(f"block must have {len(D.extents)} extents, got {sides!r}")
    cut, keys = Partition(D.geometry, x.shape[2:], tuple(sides)), Keys()
    _check_room(cut, x, client)
    arguments = []
    for box in cut.boxes:
        inside, _ = cut.own(cut.window(cut.around(box, _blocks.CERTAIN)))
        part = (slice(None), slice(None), *inside)
        seen = None if mask is None else whole(mask[part])
        arguments.append((cut, box, whole(x[part]), seen))
    blocks = each("read", _blocks.read, keys.of_round(), arguments)
    return Grid(client, keys, x.shape, cut, submit(client, blocks)[0])


def _check_room(cut, x, client):
    """Refuse blocks that a worker cannot work on, one in each of its threads."""
    workers = workers_of(client)
    samples = max(prod(extents_of(cut.window(cut.around(b, _blocks.CERTAIN)))) for b in cut.boxes)
    n_bytes = CODING * 8 * prod(x.shape[:2]) * samples * workers.threads
    check_memory("blocks of this size", n_bytes, "take smaller ones: block", workers.memory)


def _strongest(grid, dictionary, positive):
    """``lmbda_max`` of the whole signal."""
    arguments = [(block, dictionary, positive) for block in grid.blocks]
    tasks = each("strongest", _blocks.strongest, grid.keys.of_round(), arguments)
    return max(grid.client.gather(submit(grid.client, tasks)[0]))


def _rounds(grid, model, tell):
    """Rounds over all colours until the gap of the whole is small enough."""
    began, tol, history = perf_counter(), model.tol, []
    codes = rims = [None] * len(grid.blocks)
    message = f"stopped after {ROUNDS} rounds; take larger blocks, or a larger tol"
    outcome = Outcome(Status.MAX_ITER, message)
    for number in range(ROUNDS):
        inner = model._replace(tol=max(LOOSE / TIGHTER**number, SHARE * tol))
        codes, rims, objective, gap = _round(grid, inner, codes, rims)
        if gap <= tol * objective:
            objective, gap = _judged(grid, model, codes, rims)
        history.append(Progress(number + 1, objective, gap, perf_counter() - began))
        tell(history[-1])
        if gap <= tol * objective:
            outcome = converged(ratio(gap, objective), tol)
            break
        if _is_stuck(history, model.dictionary.dtype):
            outcome = stalled(ratio(gap, objective), tol)
            break
    objective, gap = _judged(grid, model, codes, rims)
    shape = (grid.shape[0], model.dictionary.n_atoms, *grid.cut.positions)
    return DaskSolution(DaskCodes(grid.client, shape, codes), objective, gap, *outcome, history)


def _round(grid, model, codes, rims):
    """New codes and rims of all blocks, colour by colour, and objective and gap of the whole."""
    name, cut = grid.keys.of_round(), grid.cut
    model = task(model, name("atoms"))
    new, rims = list(codes), list(rims)
    for colour in cut.colours:
        for i in colour:
            near = [rims[j] for j in cut.neighbours(cut.boxes[i], 1) if rims[j] is not None]
            new[i] = one("solve", _blocks.solve, name, i, grid.blocks[i], model, codes[i], near)
        for i in colour:  # others of this colour do not see them
            rims[i] = one("rim", _blocks.halo, name, i, grid.blocks[i], new[i])
    root = _certificate(grid, model, name, new, rims, None)
    new, rims, [part] = submit(grid.client, new, rims, [root])
    return new, rims, *_sums(part.result())


def _judged(grid, model, codes, rims):
    """Objective and gap of the whole, in float64."""
    name = grid.keys.of_round()
    root = _certificate(grid, task(model, name("atoms")), name, codes, rims, "float64")
    return _sums(submit(grid.client, [root])[0][0].result())


def _certificate(grid, model, name, codes, rims, dtype):  # noqa: PLR0913
    """Task that joins the certificates of all blocks."""
    cut, leaves = grid.cut, []
    for i, block in enumerate(grid.blocks):
        near = [rims[j] for j in cut.neighbours(cut.boxes[i], _blocks.RIM)]
        leaves.append(one("certify", _blocks.certify, name, i, block, model, codes[i], near, dtype))
    return tree(_blocks.join, name, leaves)


def _sums(part):
    """Objective and gap of all signals together."""
    dual = dual_of(part.inner, part.energy, part.worst).max(axis=0)
    gap = np.maximum(part.objective - dual, 0)
    return float(part.objective.sum()), float(gap.sum())


def _is_stuck(history, dtype):
    """Whether three rounds brought nothing but rounding."""
    if len(history) < 4:
        return False
    before, now = history[-4], history[-1]
    fell = before.objective - now.objective
    return now.gap > 0.9 * before.gap and fell <= np.finfo(dtype).eps * now.objective
