"""Convolution of signals stored batch last: direct sums over the nonzero samples of atoms.

Signals are first copied into a buffer ``(G, C, P0, P1, phases, P2, B)``: batches of B signals with
the batch axis last, borders added, samples that are a stride apart next to each other. Then a row,
that is a code or a sample, is computed for SUMS_PER_BLOCK neighbouring numbers at once:

    row[j] = sum_i values[i] buffer[base + offsets[i] + j],    j < SUMS_PER_BLOCK

The vectors of partial sums stay in registers. Nothing is unfolded, and terms whose value is 0 are
not in the list: an atom with 5 % nonzero samples takes a tenth of the time of a dense one.
Correlation and synthesis are the same loop, over an atom's samples and over the atoms that cover a
sample.
"""

import numpy as np

from csc.kernels._constants import ROWS_PER_GROUP, SUMS_PER_BLOCK
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.fused_prox import _threshold
from csc.kernels.cpu.simd_intrinsics import (
    add_products,
    add_products_of_four,
    clear_run,
    copy_run,
)
from csc.kernels.cpu.threads import in_batches

TILE_OFFSETS = SUMS_PER_BLOCK * np.arange(SUMS_PER_BLOCK)  # of the rows of a tile
MULTIPLICATIONS_PER_BATCH = 2**19  # fewer do not repay another thread
ROWS_PER_PART = 128  # rows computed at once: their sums fill half of a core's cache


def lay_out(x, fits, momentum, layout, out):
    """Copy signals into the buffer, or residuals ``x - (D z + momentum (D z - D z_old))``.

    Parameters
    ----------
    x : array
        Flat memory of signals.
    fits : tuple of two such arrays, empty to copy ``x`` itself
    momentum : number
    layout : BufferLayout
    out : array
        Overwritten: the flat buffer.
    """
    b, n = layout.batch
    planes = -(-n // b) * layout.shape[0]
    arrays = x, *fits, x.dtype.type(momentum), layout, out
    in_batches(_lay_out, planes, *arrays, min_batch=max(1, 2**15 * planes // out.size))


def sum_products(buffer, terms, grid, out):
    """Sums of products at every position: correlations, or signals.

    Parameters
    ----------
    buffer : array
        From `lay_out`, with SUMS_PER_BLOCK more numbers at its end.
    terms, grid : Terms, Grid
    out : array
        Overwritten: flat memory of codes or signals.
    """
    in_batches(
        _sum_products,
        _pieces(grid),
        buffer,
        terms,
        grid,
        out,
        min_batch=_min_batch(terms, _parts(grid)),
        scratch=lambda: _scratch(buffer.dtype),
    )


def shrink_products(buffer, terms, grid, point, prox, out):
    """``out = factor soft(y + D^T r, thresholds)`` and ``<y - out, out - z>``.

    Parameters
    ----------
    buffer, terms, grid
        As `sum_products`, of residuals and of atoms times the step size.
    point : MomentumPoint
        Flat memory of codes, in the order of ``out``: ``y = z + momentum (z - z_old)``.
    prox : SoftThreshold
    out : array
        Overwritten: flat memory of codes.
    """
    z, z_old, momentum = point
    thresholds, factor, positive = prox
    number, restart_score = out.dtype.type, np.zeros(_pieces(grid))
    prox_point = thresholds, number(momentum), number(factor), number(0 if positive else 1)
    arrays = buffer, terms, grid, z, z_old, prox_point, out, restart_score
    in_batches(
        _shrink_products,
        len(restart_score),
        *arrays,
        min_batch=_min_batch(terms, _parts(grid)),
        scratch=lambda: _scratch(buffer.dtype),
    )
    return float(restart_score.sum())


def largest_products(buffer, terms, grid, scales, positive, out):
    """``out[n, q] = max_k w_k |row k|`` of signals in C order; the rows are not stored.

    Parameters
    ----------
    buffer, terms, grid
        As `sum_products`.
    scales : array (K,)
        w.
    positive : bool
        Whether to take rows without the modulus, and at least 0.
    out : array (N * Q0 * Q1 * Q2,)
        Overwritten.
    """
    negative_sign = out.dtype.type(0 if positive else -1)
    pieces, min_batch = _pieces(grid) // _parts(grid), _min_batch(terms, parts=1)
    in_batches(
        _largest_products,
        pieces,
        buffer,
        terms,
        grid,
        scales,
        negative_sign,
        out,
        min_batch=min_batch,
        scratch=lambda: _scratch(buffer.dtype),
    )


def _pieces(grid):
    """Blocks of positions of a group of signals, times parts of the rows."""
    (b, n), (q0, q1, q2) = grid.batch, grid.positions
    return -(-n // b) * q0 * q1 * -(-q2 * b // SUMS_PER_BLOCK) * _parts(grid)


def _min_batch(terms, parts):
    """Pieces that repay another thread, each a part of the rows."""
    return 1 + MULTIPLICATIONS_PER_BATCH * parts // (len(terms.values) * SUMS_PER_BLOCK)


def _parts(grid):
    return -(-len(grid.rows) // ROWS_PER_PART)


_parts_inside = inner()(_parts)


def _scratch(dtype):
    """What is multiplied, and the sums of a part of the rows."""
    tile = np.empty(SUMS_PER_BLOCK * SUMS_PER_BLOCK, dtype)
    return tile, np.empty(ROWS_PER_PART * SUMS_PER_BLOCK, dtype)


@entry()
def _sum_products(start, stop, buffer, terms, grid, out, tile, sums):
    b, n = grid.batch
    step = grid.steps[3]
    for piece in range(start, stop):
        group, q0, q1, block, part = _where(piece, grid)
        rows = _add_up(buffer, terms, grid, (group, q0, q1, block, part), tile, sums)
        n_signals = min(b, n - group * b)
        for i in range(rows):
            row = grid.rows[part * ROWS_PER_PART + i]
            if not (row[1] <= q0 < row[2] and row[3] <= q1 < row[4]):
                continue
            first = row[0] + group * b * grid.steps[0] + q0 * grid.steps[1] + q1 * grid.steps[2]
            low = max(row[5], block * SUMS_PER_BLOCK // b)
            high = min(row[6], (block + 1) * SUMS_PER_BLOCK // b)
            width = 1 if b > 1 else max(high - low, 1)
            for q in range(low, high, width):
                own = i * SUMS_PER_BLOCK + q * b - block * SUMS_PER_BLOCK
                to = first + q * step
                if b > 1 or step == 1:
                    copy_run(sums, own, 1, out, to, n_signals if b > 1 else high - low)
                else:
                    for j in range(high - low):
                        out[to + j * step] = sums[own + j]


@entry()
def _shrink_products(
    start, stop, buffer, terms, grid, z, z_old, prox_point, out, restart_score, tile, sums
):
    thresholds, momentum, factor, negative_sign = prox_point
    b, n = grid.batch
    for piece in range(start, stop):
        group, q0, q1, block, part = _where(piece, grid)
        rows = _add_up(buffer, terms, grid, (group, q0, q1, block, part), tile, sums)
        n_signals, total = min(b, n - group * b), 0.0
        for i in range(rows):
            row = grid.rows[part * ROWS_PER_PART + i]
            first = row[0] + group * b * grid.steps[0] + q0 * grid.steps[1] + q1 * grid.steps[2]
            low, high = block * SUMS_PER_BLOCK // b, min(row[6], (block + 1) * SUMS_PER_BLOCK // b)
            width = 1 if b > 1 else max(high - low, 1)
            threshold = thresholds[min(part * ROWS_PER_PART + i, len(thresholds) - 1)]
            one_prox = threshold, momentum, factor, negative_sign
            for q in range(low, high, width):
                f = first + q * grid.steps[3]
                e = f + (n_signals if b > 1 else width)
                s = sums[i * SUMS_PER_BLOCK + q * b - block * SUMS_PER_BLOCK :]
                total += _threshold(s, z[f:e], z_old[f:e], one_prox, out[f:e])
        restart_score[piece] = total


@entry()
def _largest_products(start, stop, buffer, terms, grid, scales, negative_sign, out, tile, sums):
    _, q1s, q2s = grid.positions
    for piece in range(start, stop):
        n, q0, q1, block, _ = _where(piece * _parts_inside(grid), grid)
        first = ((n * grid.positions[0] + q0) * q1s + q1) * q2s + block * SUMS_PER_BLOCK
        top = out[first : first + min(SUMS_PER_BLOCK, q2s - block * SUMS_PER_BLOCK)]
        clear_run(top, 0, top.size)
        for part in range(_parts_inside(grid)):
            rows = _add_up(buffer, terms, grid, (n, q0, q1, block, part), tile, sums)
            for i in range(min(rows, len(scales) - part * ROWS_PER_PART)):
                scale, own = scales[part * ROWS_PER_PART + i], sums[i * SUMS_PER_BLOCK :]
                for j in range(top.size):
                    so_far = max(top[j], scale * own[j])
                    top[j] = max(so_far, negative_sign * scale * own[j])


@inner()
def _where(piece, grid):
    """Group of signals, position on two axes, block on the third, part of the rows."""
    blocks = -(-grid.positions[2] * grid.batch[0] // SUMS_PER_BLOCK)
    piece, part = divmod(piece, _parts_inside(grid))
    piece, block = divmod(piece, blocks)
    piece, q1 = divmod(piece, grid.positions[1])
    group, q0 = divmod(piece, grid.positions[0])
    return group, q0, q1, block, part


@inner()
def _add_up(buffer, terms, grid, where, tile, sums):
    """Compute the rows of a part in ``sums``; returns their number."""
    group, q0, q1, block, part = where
    base = group * grid.reads[0] + q0 * grid.reads[1] + q1 * grid.reads[2] + block * SUMS_PER_BLOCK
    rows = min(ROWS_PER_PART, len(grid.rows) - part * ROWS_PER_PART)
    clear_run(sums, 0, rows * SUMS_PER_BLOCK)
    first = part * ROWS_PER_PART // terms.rows_per_group
    last = first + rows // terms.rows_per_group
    low, high = (
        block * SUMS_PER_BLOCK // grid.batch[0],
        (block + 1) * SUMS_PER_BLOCK // grid.batch[0],
    )
    nonzero, spans = terms.nonzero_range, terms.spans
    for chunk in range(len(nonzero)):
        if q0 < nonzero[chunk, 0] or q0 >= nonzero[chunk, 1]:
            continue
        if q1 < nonzero[chunk, 2] or q1 >= nonzero[chunk, 3]:
            continue
        if high <= nonzero[chunk, 4] or low >= nonzero[chunk, 5]:
            continue
        if terms.rows_per_group == ROWS_PER_GROUP:
            _add_whole(buffer, base, terms, (chunk, first, last), tile, sums)
        else:
            for g in range(first, last):
                begin, end, value = spans[chunk, g, 0], spans[chunk, g, 1], spans[chunk, g, 2]
                own = sums[SUMS_PER_BLOCK * (g - first) :]
                add_products(buffer, base, terms.offsets, begin, end, terms.values, value, own)
    return rows


@inner()
def _add_whole(buffer, base, terms, groups, tile, sums):
    """Add a chunk to rows that share its offsets.

    What several rows read is first copied next to each other: in the buffer it is far apart.
    """
    (chunk, first, last), spans = groups, terms.spans
    begin, end = spans[chunk, first, 0], spans[chunk, first, 1]
    source, offsets = buffer, terms.offsets
    if last - first > 1:
        for i in range(begin, end):
            at = (i - begin) * SUMS_PER_BLOCK
            copy_run(buffer, base + terms.offsets[i], 1, tile, at, SUMS_PER_BLOCK)
        source, offsets, base, begin, end = tile, TILE_OFFSETS, 0, 0, end - begin
    for g in range(first, last):
        own, value = sums[ROWS_PER_GROUP * SUMS_PER_BLOCK * (g - first) :], spans[chunk, g, 2]
        add_products_of_four(source, base, offsets, begin, end, terms.values, value, own)


@entry()
def _lay_out(start, stop, x, fit, fit_old, momentum, layout, out):
    b, n = layout.batch
    channels, p0, p1, phases, p2 = layout.shape
    row = phases * p2 * b
    bordered = phases * p2 > layout.signal_shape[2] or n % b
    for plane in range(start, stop):
        group, c = divmod(plane, channels)
        origin = group * b * layout.steps[0] + c * layout.steps[1]
        for i0 in range(p0):
            s0 = _inside(i0 - layout.low[0], layout.signal_shape[0], layout.wraps)
            for i1 in range(p1):
                s1 = _inside(i1 - layout.low[1], layout.signal_shape[1], layout.wraps)
                to = ((plane * p0 + i0) * p1 + i1) * row
                if bordered or s0 < 0 or s1 < 0:
                    clear_run(out, to, to + row)
                if s0 >= 0 and s1 >= 0:
                    first = origin + s0 * layout.steps[2] + s1 * layout.steps[3]
                    n_signals = min(b, n - group * b)
                    _lay_row(x, fit, fit_old, momentum, (first, n_signals), layout, out, to)


@inner()
def _inside(i, extent, wraps):
    """Index of the sample that a sample of the border repeats, or -1 if it is 0."""
    if wraps:
        return i % extent
    return i if 0 <= i < extent else -1


@inner()
def _lay_row(x, fit, fit_old, momentum, source, layout, out, row):
    first, n_signals = source
    b, step = layout.batch[0], layout.steps[4]
    phases, p2 = layout.shape[3:]
    low, extent = layout.low[2], layout.signal_shape[2]
    if b > 1:
        for e in range(phases * p2):
            s = _inside(e - low, extent, layout.wraps)
            if s >= 0:
                to = row + ((e % phases) * p2 + e // phases) * b
                _residual(x, fit, fit_old, momentum, (first + s * step, 1), n_signals, out, to)
        return
    for phase in range(phases):
        begin = max(0, -((phase - low) // phases))  # the first e = phase + phases j >= low
        count = max(0, -(-(low + extent - phase) // phases) - begin)
        f, to = first + (phase + phases * begin - low) * step, row + phase * p2 + begin
        _residual(x, fit, fit_old, momentum, (f, phases * step), count, out, to)
    if layout.wraps:
        for e in range(phases * p2):
            if not low <= e < low + extent:
                f = first + ((e - low) % extent) * step
                to = row + (e % phases) * p2 + e // phases
                _residual(x, fit, fit_old, momentum, (f, 1), 1, out, to)


@inner()
def _residual(x, fit, fit_old, momentum, source, n, out, at):
    first, step = source
    if not fit.size:
        copy_run(x, first, step, out, at, n)
        return
    signal, present, old, target = x[first:], fit[first:], fit_old[first:], out[at : at + n]
    if step == 1:
        for i in range(target.size):
            target[i] = signal[i] - (present[i] + momentum * (present[i] - old[i]))
    else:
        for i in range(target.size):
            j = step * i
            target[i] = signal[j] - (present[j] + momentum * (present[j] - old[j]))
