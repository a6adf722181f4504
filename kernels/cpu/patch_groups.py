"""Gaussian estimates of groups of similar patches, and the search for similar patches.

Each reference patch and the patches most like it form a group. A Gaussian is fitted to the group
in a first estimate of the image (the pilot), and the patches of the observed image are estimated
under it: with mean m and covariance C, and noise of variance v,

    estimate of y = m + C (C + v I)^-1 (y - m) = y - v (C + v I)^-1 (y - m),

the second step of NL-Bayes [1]_. Where pixels are missing, only those seen enter [2]_.

Images are planes ``(C, H, W)``; a patch is a vector of n = C size^2 pixels. References are worked
on in bands of rows. A band adds to sums of its own, so that no two threads write to one place and
the result does not depend on the number of threads.

References
----------
.. [1] M. Lebrun, A. Buades, J.-M. Morel, "A nonlocal Bayesian image denoising algorithm", SIAM
   J. Imaging Sci. 6(3), 2013.
.. [2] G. Yu, G. Sapiro, S. Mallat, "Solving inverse problems with piecewise linear estimators",
   IEEE Trans. Image Process. 21(5), 2012.
"""

from typing import NamedTuple

import numpy as np

from csc.kernels._constants import SIMD_WIDTH
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS
from csc.kernels.cpu.threads import in_batches, inputs

BAND = 8  # rows of references that share their sums


class GroupRule(NamedTuple):
    """How groups are formed.

    Attributes
    ----------
    size : int
        Side of a patch in pixels.
    members : int
        Patches in a group.
    reach : int
        The search covers positions up to this many pixels from the reference, and the same area
        moved inside where that leaves the image.
    """

    size: int
    members: int
    reach: int


def similar_patches(guide, at, rule, rows, columns, distances):
    """Find the patches of ``guide`` (H, W) that are most like those at positions ``at`` (G, 2).

    Fills ``rows``, ``columns`` and squared ``distances``, each (G, members), nearest first.
    """
    in_batches(
        _search_all, len(at), *inputs(guide, at), rule, rows, columns, distances,
        scratch=lambda: (_work_space(rule, 1, guide.dtype),),
    )  # fmt: skip


def filter_groups(noisy, pilot, guide, grid, rule, variance):
    """Estimate the groups of all references; returns the sums ``(C, H, W)`` and weights ``(H, W)``.

    Parameters
    ----------
    noisy, pilot : arrays (C, H, W)
        The observed image, and the estimate that gives means and covariances.
    guide : array (H, W)
        Where similar patches are searched.
    grid : pair of integer arrays
        Rows and columns of the references.
    rule : GroupRule
    variance : float
        Of the noise.
    """
    bands = _Bands(noisy.shape, grid[0], rule)
    in_batches(
        _filter_bands, len(bands.tops), *inputs(noisy, pilot, guide, *grid, bands.tops), rule,
        noisy.dtype.type(variance), bands.sums, bands.weights,
        min_batch=1, scratch=lambda: (_work_space(rule, len(noisy), noisy.dtype),),
    )  # fmt: skip
    return bands.total()


def fill_groups(observed, pilot, guide, grid, rule, variances, n_filled):
    """Estimate missing pixels from those seen in each patch; returns sums and weights.

    Parameters
    ----------
    observed : pair of arrays (C, H, W)
        Image, and 1 where a pixel was seen.
    pilot, guide, grid, rule
        As in `filter_groups`. References without a missing pixel are passed over.
    variances : (float, float)
        Of the noise, and what is added to the diagonal of each covariance.
    n_filled : int
        How many patches of a group, the nearest first, are estimated.
    """
    image, seen = observed
    bands = _Bands(image.shape, grid[0], rule)
    n = len(image) * rule.size * rule.size

    def scratch():
        work = _work_space(rule, len(image), image.dtype)
        return work, np.empty(n, np.intp), np.empty((n, n)), np.empty(n)

    in_batches(
        _fill_bands, len(bands.tops), *inputs(image, seen, pilot, guide, *grid, bands.tops), rule,
        variances, n_filled, bands.sums, bands.weights, min_batch=1, scratch=scratch,
    )  # fmt: skip
    return bands.total()


class _Bands:
    """Sums of the patches that the references of a band add."""

    def __init__(self, shape, reference_rows, rule):
        channels, height, width = shape
        self.first = np.arange(0, len(reference_rows), BAND)
        last = np.minimum(self.first + BAND, len(reference_rows)) - 1
        span = 2 * rule.reach
        self.tops = np.clip(reference_rows[self.first] - span, 0, None).astype(np.intp)
        ends = np.minimum(reference_rows[last] + span + rule.size, height)
        extent = int((ends - self.tops).max())
        self.shape = shape
        self.sums = np.zeros((len(self.tops), channels, extent, width))
        self.weights = np.zeros((len(self.tops), extent, width))

    def total(self):
        """Sums and weights of the whole image, bands added in order."""
        _, height, width = self.shape
        sums, weights = np.zeros(self.shape), np.zeros((height, width))
        for top, part, weight in zip(self.tops, self.sums, self.weights, strict=True):
            n = min(part.shape[1], height - top)
            sums[:, top : top + n] += part[:, :n]
            weights[top : top + n] += weight[:n]
        return sums, weights


class _Work(NamedTuple):
    """What a thread computes with: padded to `SIMD_WIDTH`, what is beyond the n pixels stays zero."""

    window: np.ndarray  # pixels that are searched, in rows of one length
    scores: np.ndarray  # a squared distance for each position in the window
    rows: np.ndarray  # of the patches found
    columns: np.ndarray
    distances: np.ndarray
    patches: np.ndarray  # of the pilot, without their mean; four more rows of zeros
    mean: np.ndarray
    covariance: np.ndarray
    strip: np.ndarray  # four rows of a matrix
    observed: np.ndarray  # a patch
    answer: np.ndarray


def _work_space(rule, channels, dtype):
    size, members, reach = rule
    n = channels * size * size
    padded = (n + SIMD_WIDTH - 1) // SIMD_WIDTH * SIMD_WIDTH
    side = (2 * reach + size + SIMD_WIDTH - 1) // SIMD_WIDTH * SIMD_WIDTH
    area = (2 * reach + size) * side
    return _Work(
        np.zeros(area + side, dtype), np.empty(area, dtype), np.empty(members, np.intp),
        np.empty(members, np.intp), np.empty(members, dtype), np.zeros((members + 4, padded), dtype),
        np.empty(padded, dtype), np.empty((padded, padded), dtype), np.empty((4, padded), dtype),
        np.zeros(padded, dtype), np.zeros(padded, dtype),
    )  # fmt: skip


@entry(**OPTIONS)
def _search_all(start, stop, guide, at, rule, rows, columns, distances, work):
    for g in range(start, stop):
        _search(guide, at[g, 0], at[g, 1], rule, work)
        for k in range(rule.members):
            rows[g, k], columns[g, k] = work.rows[k], work.columns[k]
            distances[g, k] = work.distances[k]


@inner(**OPTIONS)
def _search(guide, row, column, rule, work):
    """List the patches nearest to the one at (row, column), nearest first.

    The window is laid out in rows of one length, so that one long loop scores all positions; the
    scores of positions that lie across the end of a row mean nothing and are not read.
    """
    size, members, reach = rule
    window, scores = work.window, work.scores
    rows, columns, distances = work.rows, work.columns, work.distances
    side = 2 * reach + 1
    high = min(side, guide.shape[0] - size + 1)
    wide = min(side, guide.shape[1] - size + 1)
    top = min(max(row - reach, 0), guide.shape[0] - size + 1 - high)
    left = min(max(column - reach, 0), guide.shape[1] - size + 1 - wide)
    stride = (wide + size - 1 + SIMD_WIDTH - 1) // SIMD_WIDTH * SIMD_WIDTH
    for a in range(high + size - 1):
        for b in range(wide + size - 1):
            window[a * stride + b] = guide[top + a, left + b]
    _score(guide[row : row + size, column : column + size], stride, high * stride, work)
    scores[(row - top) * stride + column - left] = -1  # first, also among equals
    n = 0  # a heap of the nearest so far, the farthest of them first
    for a in range(high):
        for b in range(wide):
            score = scores[a * stride + b]
            if n < members:
                _climb(n, score, top + a, left + b, rows, columns, distances)
                n += 1
            elif score < distances[0]:
                _sink(n, score, top + a, left + b, rows, columns, distances)
    for end in range(n - 1, 0, -1):  # heap sort
        far, r, c = distances[0], rows[0], columns[0]
        _sink(end, distances[end], rows[end], columns[end], rows, columns, distances)
        distances[end], rows[end], columns[end] = far, r, c
    distances[0] = 0


@inner(**OPTIONS)
def _score(patch, stride, count, work):
    """Squared distances of a patch to those at the first ``count`` pixels of the window."""
    window, scores = work.window, work.scores
    for k in range(count):
        scores[k] = 0
    for i in range(len(patch)):
        for j in range(len(patch)):
            pixel, shifted = patch[i, j], window[i * stride + j :]
            for k in range(count):
                change = shifted[k] - pixel
                scores[k] += change * change


@inner(**OPTIONS)
def _climb(at, distance, row, column, rows, columns, distances):
    """Append to the heap."""
    while at > 0:
        above = (at - 1) // 2
        if distances[above] >= distance:
            break
        distances[at], rows[at], columns[at] = distances[above], rows[above], columns[above]
        at = above
    distances[at], rows[at], columns[at] = distance, row, column


@inner(**OPTIONS)
def _sink(n, distance, row, column, rows, columns, distances):
    """Replace the first of the heap's ``n``."""
    at = 0
    while True:
        below = 2 * at + 1
        if below >= n:
            break
        if below + 1 < n and distances[below + 1] > distances[below]:
            below += 1
        if distances[below] <= distance:
            break
        distances[at], rows[at], columns[at] = distances[below], rows[below], columns[below]
        at = below
    distances[at], rows[at], columns[at] = distance, row, column


@inner(**OPTIONS)
def _gather(image, row, column, size, patch):
    """Copy the patch at (row, column) of all planes into a vector."""
    k = 0
    for c in range(image.shape[0]):
        for i in range(size):
            for j in range(size):
                patch[k] = image[c, row + i, column + j]
                k += 1


@inner(**OPTIONS)
def _scatter(patch, weight, row, column, size, sums, weights):
    """Add a weighted patch to the sums, whose first row is row 0."""
    k = 0
    for c in range(sums.shape[0]):
        for i in range(size):
            for j in range(size):
                sums[c, row + i, column + j] += weight * patch[k]
                k += 1
    for i in range(size):
        for j in range(size):
            weights[row + i, column + j] += weight


@inner(**OPTIONS)
def _gaussian(pilot, rule, work):
    """Mean and covariance of the pilot's patches at the positions found."""
    size, members, _ = rule
    rows, columns, patches = work.rows, work.columns, work.patches
    mean, n = work.mean, pilot.shape[0] * size * size
    for a in range(len(mean)):
        mean[a] = 0
    for k in range(members):
        _gather(pilot, rows[k], columns[k], size, patches[k])
        for a in range(n):
            mean[a] += patches[k, a]
    for a in range(n):
        mean[a] /= members
    for k in range(members):
        for a in range(n):
            patches[k, a] -= mean[a]
    _covariance(n, members, patches, work.covariance)


@inner(**OPTIONS)
def _covariance(n, members, patches, covariance):
    """Covariance of patches without their mean, which are followed by zeros."""
    padded = len(covariance)
    for a in range(padded):
        for b in range(padded):
            covariance[a, b] = 0
    for k in range(0, members, 4):
        for a in range(n):
            q0, q1, q2, q3 = patches[k, a], patches[k + 1, a], patches[k + 2, a], patches[k + 3, a]
            for b in range((a // SIMD_WIDTH + 1) * SIMD_WIDTH):
                covariance[a, b] += (q0 * patches[k, b] + q1 * patches[k + 1, b]) + (
                    q2 * patches[k + 2, b] + q3 * patches[k + 3, b]
                )
    scalar = covariance.dtype.type
    share = scalar(1) / scalar(members)
    for a in range(n):
        for b in range(a + 1):
            covariance[a, b] *= share
            covariance[b, a] = covariance[a, b]


@inner(**OPTIONS)
def _invert(matrix, strip):
    """Replace a symmetric positive definite matrix by its inverse: Gauss-Jordan by fours.

    The four rows are kept in ``strip``, for loops over two arrays run in vectors.
    """
    n = len(matrix)  # a multiple of four
    for k in range(0, n, 4):
        for p in range(4):
            for b in range(n):
                strip[p, b] = matrix[k + p, b]
        _eliminate(k, strip)
        for a in range(n):
            if k <= a < k + 4:
                continue
            f0, f1, f2, f3 = matrix[a, k], matrix[a, k + 1], matrix[a, k + 2], matrix[a, k + 3]
            matrix[a, k] = matrix[a, k + 1] = matrix[a, k + 2] = matrix[a, k + 3] = 0
            for b in range(n):
                matrix[a, b] -= (f0 * strip[0, b] + f1 * strip[1, b]) + (
                    f2 * strip[2, b] + f3 * strip[3, b]
                )
        for p in range(4):
            for b in range(n):
                matrix[k + p, b] = strip[p, b]


@inner(**OPTIONS)
def _eliminate(k, strip):
    """Gauss-Jordan elimination of columns k to k + 3 among the four rows."""
    one, n = strip.dtype.type(1), strip.shape[1]
    for p in range(4):
        pivot = one / strip[p, k + p]
        strip[p, k + p] = one
        for b in range(n):
            strip[p, b] *= pivot
        for a in range(4):
            if a != p:
                factor = strip[a, k + p]
                strip[a, k + p] = 0
                for b in range(n):
                    strip[a, b] -= factor * strip[p, b]


@entry(**OPTIONS)
def _filter_bands(
    start, stop, noisy, pilot, guide, grid_rows, grid_columns, tops, rule, variance, sums, weights,
    work,
):  # fmt: skip
    for band in range(start, stop):
        for i in range(band * BAND, min((band + 1) * BAND, len(grid_rows))):
            for j in range(len(grid_columns)):
                _search(guide, grid_rows[i], grid_columns[j], rule, work)
                _gaussian(pilot, rule, work)
                _filter(noisy, variance, tops[band], rule, work, sums[band], weights[band])


@inner(**OPTIONS)
def _filter(noisy, variance, top, rule, work, sums, weights):
    """Estimate the noisy patches of a group under its Gaussian, and add them to the sums."""
    size, members, _ = rule
    matrix, mean, observed, answer = work.covariance, work.mean, work.observed, work.answer
    n = len(noisy) * size * size
    for a in range(len(matrix)):
        matrix[a, a] += variance  # padding, too: that leaves the rest of the inverse alone
    _invert(matrix, work.strip)
    rank = 0.0  # trace of C (C + v I)^-1
    for a in range(n):
        rank += 1 - np.float64(variance * matrix[a, a])
    for k in range(members):
        _gather(noisy, work.rows[k], work.columns[k], size, answer)
        for a in range(n):
            observed[a] = variance * (answer[a] - mean[a])
        _subtract_product(matrix, observed, n, answer)
        _scatter(answer, 1 / (1 + rank), work.rows[k] - top, work.columns[k], size, sums, weights)


@inner(**OPTIONS)
def _subtract_product(matrix, vector, n, out):
    """out -= vector matrix."""
    for a in range(0, n, 4):  # the vector is zero after ``n``
        v0, v1, v2, v3 = vector[a], vector[a + 1], vector[a + 2], vector[a + 3]
        for b in range(len(matrix)):
            out[b] -= (v0 * matrix[a, b] + v1 * matrix[a + 1, b]) + (
                v2 * matrix[a + 2, b] + v3 * matrix[a + 3, b]
            )


@entry(**OPTIONS)
def _fill_bands(
    start, stop, image, seen, pilot, guide, grid_rows, grid_columns, tops, rule, variances, n_filled,
    sums, weights, work, at, factor, right,
):  # fmt: skip
    n = at.size
    for band in range(start, stop):
        for i in range(band * BAND, min((band + 1) * BAND, len(grid_rows))):
            for j in range(len(grid_columns)):
                _gather(seen, grid_rows[i], grid_columns[j], rule.size, work.observed)
                if _list_seen(work.observed, n, at) == n:
                    continue
                _search(guide, grid_rows[i], grid_columns[j], rule, work)
                _gaussian(pilot, rule, work)
                for a in range(n):
                    work.covariance[a, a] += variances[1]
                for k in range(min(n_filled, rule.members)):
                    row, column = work.rows[k], work.columns[k]
                    _gather(seen, row, column, rule.size, work.observed)
                    m = _list_seen(work.observed, n, at)
                    _gather(image, row, column, rule.size, work.answer)
                    _fill(m, at, variances[0], work, factor, right)
                    _scatter(
                        work.answer, 1.0, row - tops[band], column, rule.size, sums[band],
                        weights[band],
                    )  # fmt: skip


@inner(**OPTIONS)
def _list_seen(known, n, at):
    """List the pixels of a patch that were seen; returns how many."""
    m = 0
    for a in range(n):
        if known[a] != 0:
            at[m] = a
            m += 1
    return m


@inner(**OPTIONS)
def _fill(m, at, noise, work, factor, right):
    """Replace the patch in ``answer`` by its estimate from the ``m`` pixels ``at``."""
    mean, covariance, answer = work.mean, work.covariance, work.answer
    for a in range(m):
        right[a] = answer[at[a]] - mean[at[a]]
        for b in range(a + 1):
            factor[a, b] = covariance[at[a], at[b]]
        factor[a, a] += noise
    _factorize(m, factor)
    for a in range(m):
        total = right[a]
        for k in range(a):
            total -= factor[a, k] * right[k]
        right[a] = total * factor[a, a]
    for a in range(m - 1, -1, -1):
        right[a] *= factor[a, a]
        for k in range(a):
            right[k] -= right[a] * factor[a, k]
    for a in range(len(mean)):
        answer[a] = mean[a]
    for b in range(m):
        share, row = answer.dtype.type(right[b]), covariance[at[b]]
        for a in range(len(mean)):
            answer[a] += share * row[a]


@inner(**OPTIONS)
def _factorize(m, factor):
    """Cholesky factor in place, with reciprocals on the diagonal."""
    for a in range(m):
        for b in range(a + 1):
            total = factor[a, b]
            for k in range(b):
                total -= factor[a, k] * factor[b, k]
            factor[a, b] = total * factor[b, b] if b < a else 1 / np.sqrt(total)
