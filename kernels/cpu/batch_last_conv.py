"""Convolution of signals that lie side by side: sums over an atom's own samples, zeros left out.

Signals are first laid out in a buffer ``(G, C, P0, P1, phases, P2, B)``: B of them side by side,
borders added, samples that are a stride apart next to each other. Then the sum of one row, a code
or a sample, over BLOCK numbers that follow each other is

    row[j] = sum_i values[i] buffer[base + offsets[i] + j],    j < BLOCK

with vectors of partial sums that stay in registers. Nothing is unfolded, and terms whose value is
0 are not in the list: an atom with 5 % of its samples costs a tenth of a whole one. Correlation
and synthesis are the same loop, over an atom's samples and over the atoms that reach a sample.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from csc.kernels.cpu.fused_prox import _threshold
from csc.kernels.cpu.simd_intrinsics import BLOCK, add_products, add_products_of_four
from csc.kernels.cpu.threads import in_batches

SIDE_BY_SIDE = BLOCK * np.arange(BLOCK)  # offsets of the rows of a tile
FOUR = 4  # rows that share a list of offsets, where few terms are 0
WORK = 2**19  # multiplications, a vector at a time, that are worth a thread
ROWS = 128  # sums that are made at once: BLOCK numbers each, together half of a core's cache


class Terms(NamedTuple):
    """What is summed: a line for each chunk of the terms and each group of 1 or FOUR rows."""

    spans: np.ndarray  # (chunks, groups, 3)  first and last offset, first value
    reach: np.ndarray  # (chunks, 6)  the positions at which a chunk is not all zeros
    offsets: np.ndarray  # (T,)
    values: np.ndarray  # a row after the other for each offset, if there are four
    together: int  # rows in a group, 1 or FOUR


class Grid(NamedTuple):
    """Where rows are read in the buffer and what they become.

    Row r at position q is ``target[rows[r, 0] + n * steps[0] + q . steps[1:]]`` for q within the
    bounds ``rows[r, 1:]``, low and high on each axis.
    """

    lanes: tuple  # B, N
    positions: tuple  # Q0, Q1, Q2
    reads: tuple  # steps in the buffer: a group of signals, axis 0, axis 1
    steps: tuple  # steps in the target: a signal, axes 0, 1, 2
    rows: np.ndarray  # (groups * together, 7)


class Place(NamedTuple):
    """Where signals go in the buffer."""

    lanes: tuple  # B, N
    shape: tuple  # C, P0, P1, phases, P2
    extents: tuple  # S0, S1, S2
    low: tuple  # zeros (or wrapped samples) before the first sample
    steps: tuple  # of the signals: n, c, axes 0, 1, 2
    wraps: bool


def lay_out(x, fits, momentum, place, out):
    """Lay signals out, or residuals ``x - (D z + momentum (D z - D z_old))``.

    Parameters
    ----------
    x : array
        Flat memory of signals.
    fits : tuple of two such arrays, of no numbers if ``x`` itself is wanted
    momentum : number
    place : fields of `Place`
    out : array
        Overwritten: the flat buffer.
    """
    place = Place(*place)
    b, n = place.lanes
    planes = -(-n // b) * place.shape[0]
    arrays = x, *fits, x.dtype.type(momentum), place, out
    in_batches(_lay_out, planes, *arrays, least=max(1, 2**15 * planes // out.size))


def sum_products(buffer, terms, grid, out):
    """Sums of products at every position: correlations, or signals.

    Parameters
    ----------
    buffer : array
        From `lay_out`; BLOCK numbers longer than it need be.
    terms, grid : fields of `Terms` and `Grid`
    out : array
        Overwritten: flat memory of codes or signals.
    """
    terms, grid = Terms(*terms), Grid(*grid)
    in_batches(
        _sum_products, _pieces(grid), buffer, terms, grid, out, least=_least(terms, _parts(grid))
    )


def shrink_products(buffer, terms, grid, point, prox, out):  # noqa: PLR0913
    """``out = factor soft(y + D^T r, thresholds)`` and ``<y - out, out - z>``.

    Parameters
    ----------
    buffer, terms, grid
        As `sum_products`, of residuals and of atoms times the step size.
    point : (z, z_old, momentum)
        Flat memory of codes, of the order of ``out``: ``y = z + momentum (z - z_old)``.
    prox : (thresholds, factor, positive)
        As `proximal_step`.
    out : array
        Overwritten: flat memory of codes.
    """
    terms, grid = Terms(*terms), Grid(*grid)
    z, z_old, momentum = point
    thresholds, factor, positive = prox
    number, restart_score = out.dtype.type, np.zeros(_pieces(grid))
    rules = thresholds, number(momentum), number(factor), number(0 if positive else 1)
    arrays = buffer, terms, grid, z, z_old, rules, out, restart_score
    in_batches(_shrink_products, len(restart_score), *arrays, least=_least(terms, _parts(grid)))
    return float(restart_score.sum())


def largest_products(buffer, terms, grid, worths, positive, out):  # noqa: PLR0913
    """``out[n, q] = max_k w_k |row k|`` of signals not side by side; the rows are not kept.

    Parameters
    ----------
    buffer, terms, grid
        As `sum_products`.
    worths : array (K,)
        w.
    positive : bool
        Without the modulus, and at least 0.
    out : array (N * Q0 * Q1 * Q2,)
        Overwritten.
    """
    terms, grid, mirror = Terms(*terms), Grid(*grid), out.dtype.type(0 if positive else -1)
    pieces, least = _pieces(grid) // _parts(grid), _least(terms, parts=1)
    in_batches(_largest_products, pieces, buffer, terms, grid, worths, mirror, out, least=least)


def _pieces(grid):
    """Blocks of positions of a group of signals, times parts of the rows."""
    (b, n), (q0, q1, q2) = grid.lanes, grid.positions
    return -(-n // b) * q0 * q1 * -(-q2 * b // BLOCK) * _parts(grid)


def _least(terms, parts):
    """Pieces that are worth a thread, each one of so many parts of the rows."""
    return 1 + WORK * parts // (len(terms.values) * BLOCK)


@njit(cache=True)
def _parts(grid):
    return -(-len(grid.rows) // ROWS)


@njit(cache=True, nogil=True)
def _sum_products(start, stop, buffer, terms, grid, out):
    sums, tile = np.empty(ROWS * BLOCK, buffer.dtype), np.empty(BLOCK * BLOCK, buffer.dtype)
    b, n = grid.lanes
    step = grid.steps[3]
    for piece in range(start, stop):
        group, q0, q1, block, part = _where(piece, grid)
        rows = _add_up(buffer, terms, grid, (group, q0, q1, block, part), tile, sums)
        alike = min(b, n - group * b)
        for i in range(rows):
            row = grid.rows[part * ROWS + i]
            if not (row[1] <= q0 < row[2] and row[3] <= q1 < row[4]):
                continue
            first = row[0] + group * b * grid.steps[0] + q0 * grid.steps[1] + q1 * grid.steps[2]
            low = max(row[5], block * BLOCK // b)
            high = min(row[6], (block + 1) * BLOCK // b)
            together = 1 if b > 1 else max(high - low, 1)
            for q in range(low, high, together):
                own = sums[i * BLOCK + q * b - block * BLOCK :]
                to = first + q * step
                if b > 1 or step == 1:
                    _copy(own[: alike if b > 1 else high - low], out[to:])
                else:
                    for j in range(high - low):
                        out[to + j * step] = own[j]


@njit(cache=True, nogil=True)
def _shrink_products(start, stop, buffer, terms, grid, z, z_old, rules, out, restart_score):  # noqa: PLR0913
    sums, tile = np.empty(ROWS * BLOCK, buffer.dtype), np.empty(BLOCK * BLOCK, buffer.dtype)
    thresholds, momentum, factor, mirror = rules
    b, n = grid.lanes
    for piece in range(start, stop):
        group, q0, q1, block, part = _where(piece, grid)
        rows = _add_up(buffer, terms, grid, (group, q0, q1, block, part), tile, sums)
        alike, total = min(b, n - group * b), 0.0
        for i in range(rows):
            row = grid.rows[part * ROWS + i]
            first = row[0] + group * b * grid.steps[0] + q0 * grid.steps[1] + q1 * grid.steps[2]
            low, high = block * BLOCK // b, min(row[6], (block + 1) * BLOCK // b)
            together = 1 if b > 1 else max(high - low, 1)
            threshold = thresholds[min(part * ROWS + i, len(thresholds) - 1)]
            rule = threshold, momentum, factor, mirror
            for q in range(low, high, together):
                f = first + q * grid.steps[3]
                e = f + (alike if b > 1 else together)
                s = sums[i * BLOCK + q * b - block * BLOCK :]
                total += _threshold(s, z[f:e], z_old[f:e], rule, out[f:e])
        restart_score[piece] = total


@njit(cache=True, nogil=True)
def _largest_products(start, stop, buffer, terms, grid, worths, mirror, out):  # noqa: PLR0913
    sums, tile = np.empty(ROWS * BLOCK, buffer.dtype), np.empty(BLOCK * BLOCK, buffer.dtype)
    _, q1s, q2s = grid.positions
    for piece in range(start, stop):
        n, q0, q1, block, _ = _where(piece * _parts(grid), grid)
        first = ((n * grid.positions[0] + q0) * q1s + q1) * q2s + block * BLOCK
        top = out[first : first + min(BLOCK, q2s - block * BLOCK)]
        top[:] = 0
        for part in range(_parts(grid)):
            rows = _add_up(buffer, terms, grid, (n, q0, q1, block, part), tile, sums)
            for i in range(min(rows, len(worths) - part * ROWS)):
                worth, own = worths[part * ROWS + i], sums[i * BLOCK :]
                for j in range(top.size):
                    top[j] = max(top[j], worth * own[j], mirror * worth * own[j])


@njit(cache=True)
def _where(piece, grid):
    """Group of signals, position on two axes, block on the third, part of the rows."""
    blocks = -(-grid.positions[2] * grid.lanes[0] // BLOCK)
    piece, part = divmod(piece, _parts(grid))
    piece, block = divmod(piece, blocks)
    piece, q1 = divmod(piece, grid.positions[1])
    group, q0 = divmod(piece, grid.positions[0])
    return group, q0, q1, block, part


@njit(cache=True)
def _add_up(buffer, terms, grid, where, tile, sums):  # noqa: PLR0913
    """Fill ``sums`` with the rows of a part; returns how many they are."""
    group, q0, q1, block, part = where
    base = group * grid.reads[0] + q0 * grid.reads[1] + q1 * grid.reads[2] + block * BLOCK
    rows = min(ROWS, len(grid.rows) - part * ROWS)
    for j in range(rows * BLOCK):
        sums[j] = 0
    first = part * ROWS // terms.together
    low, high = block * BLOCK // grid.lanes[0], (block + 1) * BLOCK // grid.lanes[0]
    for chunk, reach in enumerate(terms.reach):
        if not (reach[0] <= q0 < reach[1] and reach[2] <= q1 < reach[3]):
            continue
        if high <= reach[4] or low >= reach[5]:
            continue
        spans = terms.spans[chunk, first : first + rows // terms.together]
        if terms.together == FOUR:
            _add_whole(buffer, base, terms, spans, tile, sums)
        else:
            for g, (begin, end, value) in enumerate(spans):
                own = sums[BLOCK * g :]
                add_products(buffer, base, terms.offsets, begin, end, terms.values, value, own)
    return rows


@njit(cache=True)
def _add_whole(buffer, base, terms, spans, tile, sums):  # noqa: PLR0913
    """Add a chunk to rows that share its offsets.

    What many rows read is put side by side once: in the buffer it lies far apart.
    """
    begin, end, _ = spans[0]
    source, offsets = buffer, terms.offsets
    if len(spans) > 1:
        for i in range(begin, end):
            first = base + terms.offsets[i]
            _copy(buffer[first : first + BLOCK], tile[(i - begin) * BLOCK :])
        source, offsets, base, begin, end = tile, SIDE_BY_SIDE, 0, 0, end - begin
    for g, (_, _, value) in enumerate(spans):
        own = sums[FOUR * BLOCK * g :]
        add_products_of_four(source, base, offsets, begin, end, terms.values, value, own)


@njit(cache=True, nogil=True)
def _lay_out(start, stop, x, fit, fit_old, momentum, place, out):  # noqa: PLR0913
    b, n = place.lanes
    channels, p0, p1, phases, p2 = place.shape
    row = phases * p2 * b
    bordered = phases * p2 > place.extents[2] or n % b
    for plane in range(start, stop):
        group, c = divmod(plane, channels)
        origin = group * b * place.steps[0] + c * place.steps[1]
        for i0 in range(p0):
            s0 = _inside(i0 - place.low[0], place.extents[0], place.wraps)
            for i1 in range(p1):
                s1 = _inside(i1 - place.low[1], place.extents[1], place.wraps)
                to = ((plane * p0 + i0) * p1 + i1) * row
                target = out[to : to + row]
                if bordered or s0 < 0 or s1 < 0:
                    for j in range(row):
                        target[j] = 0
                if s0 >= 0 and s1 >= 0:
                    first = origin + s0 * place.steps[2] + s1 * place.steps[3]
                    alike = min(b, n - group * b)
                    _lay_row(x, fit, fit_old, momentum, (first, alike), place, target)


@njit(cache=True)
def _inside(i, extent, wraps):
    """Where a sample of the border comes from; -1: it is 0."""
    if wraps:
        return i % extent
    return i if 0 <= i < extent else -1


@njit(cache=True)
def _lay_row(x, fit, fit_old, momentum, source, place, target):  # noqa: PLR0913
    first, alike = source
    b, step = place.lanes[0], place.steps[4]
    phases, p2 = place.shape[3:]
    low, extent = place.low[2], place.extents[2]
    if b > 1:
        for e in range(phases * p2):
            s = _inside(e - low, extent, place.wraps)
            if s >= 0:
                f = first + s * step
                to = ((e % phases) * p2 + e // phases) * b
                _residual(x[f:], fit[f:], fit_old[f:], momentum, 1, target[to : to + alike])
        return
    for phase in range(phases):
        begin = max(0, -((phase - low) // phases))  # the first e = phase + phases j >= low
        count = max(0, -(-(low + extent - phase) // phases) - begin)
        f, to = first + (phase + phases * begin - low) * step, phase * p2 + begin
        _residual(x[f:], fit[f:], fit_old[f:], momentum, phases * step, target[to : to + count])
    if place.wraps:
        for e in range(phases * p2):
            if not low <= e < low + extent:
                f = first + ((e - low) % extent) * step
                to = (e % phases) * p2 + e // phases
                _residual(x[f:], fit[f:], fit_old[f:], momentum, 1, target[to : to + 1])


@njit(cache=True)
def _residual(x, fit, fit_old, momentum, step, out):  # noqa: PLR0913
    if not fit.size:
        if step == 1:
            _copy(x[: out.size], out)
        else:
            for i in range(out.size):
                out[i] = x[step * i]
    elif step == 1:
        for i in range(out.size):
            out[i] = x[i] - (fit[i] + momentum * (fit[i] - fit_old[i]))
    else:
        for i in range(out.size):
            j = step * i
            out[i] = x[j] - (fit[j] + momentum * (fit[j] - fit_old[j]))


@njit(cache=True)
def _copy(source, target):
    for i in range(source.size):
        target[i] = source[i]
