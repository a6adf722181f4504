"""Extract patches from images, or from signals with 1 to 3 axes, and reassemble them."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from csc._typing import Array, ArrayLike, Rng, Shape
from csc._validation import check_count, check_floats, check_shape, split_masked

MASK_HINT = "numpy.ma.masked_invalid({}) excludes the patches that touch it"


def extract_patches(
    images: ArrayLike | Sequence[ArrayLike],
    shape: Shape,
    n: int | None = None,
    *,
    stride: int = 1,
    border: int = 0,
    to_edge: bool = False,
    rng: Rng = None,
) -> Array:
    """Return all patches of the images, or ``n`` random ones.

    Patches lie at every ``stride``-th position per axis, at least ``border`` pixels from the edges
    of the image. Random patches are drawn independently and uniformly over the positions of *all*
    images, so large images contribute more. Patches that touch a masked pixel of a masked array
    are left out.

    Parameters
    ----------
    images : array or list of arrays, float32 or float64
        Each ``(*S)`` with one channel or ``(C, *S)``, with ``len(shape)`` axes *S*. In a list,
        spatial shapes may differ; C and dtype must not. Masked arrays are supported. For a batch
        ``(N, C, *S)`` pass ``list(batch)``.
    shape : tuple of int
        Spatial shape of a patch in pixels along 1 to 3 axes.
    n : int, optional
        Number of patches; by default all, image by image, the last axis varying fastest.
    stride : int
        Distance between neighbouring positions in pixels.
    border : int
        Width in pixels of the margin at every edge that no patch touches.
    to_edge : bool
        Whether the last position of every axis is taken as well where ``stride`` misses it, so that
        patches reach the far edges.
    rng : numpy.random.Generator or int, optional
        Generator or seed.

    Returns
    -------
    patches : (N, C, *shape) array
        A copy, in the dtype of the images.

    Raises
    ------
    TypeError
        If an image is not a float array (convert integers with `skimage.util.img_as_float32`),
        dtypes differ, or a count is not an integer.
    ValueError
        If an image holds NaN, has a wrong number of axes or is smaller than a patch with its
        border, if channels differ, a count is too small, or every patch touches a masked pixel.

    See Also
    --------
    reassemble : the inverse.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(20.0).reshape(4, 5)
    >>> extract_patches(image, (2, 2), stride=2)[:, 0].tolist()
    [[[0.0, 1.0], [5.0, 6.0]], [[2.0, 3.0], [7.0, 8.0]],
     [[10.0, 11.0], [15.0, 16.0]], [[12.0, 13.0], [17.0, 18.0]]]
    >>> extract_patches([image, image[:, :3]], (2, 2), n=100, rng=0).shape
    (100, 1, 2, 2)
    """
    shape = check_shape("shape", shape)
    check_count("stride", stride)
    check_count("border", border, low=0)
    if n is not None:
        check_count("n", n)
    grid = _Grid(stride, border, to_edge)
    cut = [
        (_windows(image, shape, grid), _whole(seen, shape, grid))
        for image, seen in _check_images(images, shape, border)
    ]
    if not sum(_count(view, at) for view, at in cut):
        raise ValueError("images hold no patch without a masked pixel; use smaller patches")
    return _all_of(cut, len(shape)) if n is None else _draw(cut, len(shape), n, rng)


def reassemble(
    patches: Array,
    image_shape: Shape,
    *,
    stride: int = 1,
    to_edge: bool = False,
    weights: ArrayLike | None = None,
) -> Array:
    """Reassemble all patches of one image, averaging where they overlap.

    The inverse of ``extract_patches(image, shape, stride=stride, to_edge=to_edge)``. For modified
    patches (for example denoised ones) the result is the least-squares image: its patches are the
    closest to those given, with ``weights`` w_i the minimiser of sum_i w_i ||R_i image - patch_i||^2.

    Parameters
    ----------
    patches : (N, C, *s) float32 or float64 array
        In the order of `extract_patches`.
    image_shape : tuple of int
        ``(*S)``, for patches with one channel, or ``(C, *S)``.
    stride : int
        As in `extract_patches`. The patches must cover the image: ``stride`` at most *s* and,
        without ``to_edge``, a divisor of *S - s* along every axis.
    to_edge : bool
        As in `extract_patches`; then any stride up to *s* covers the image.
    weights : (N,) array, optional
        How much each patch counts in the average, at least 0; by default all count the same.

    Returns
    -------
    image : array of shape ``image_shape``
        In the dtype of the patches; sums are accumulated in float64.

    Raises
    ------
    TypeError
        If the patches are not a float array, or ``image_shape`` or ``stride`` are not integers.
    ValueError
        If the patches hold NaN or do not cover the image, if their number is wrong, or if weights
        are negative or leave a pixel without any.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(35.0).reshape(5, 7)
    >>> patches = extract_patches(image, (3, 3), stride=2)
    >>> bool(np.all(reassemble(patches, image.shape, stride=2) == image))
    True
    """
    patches = check_floats("patches", patches)
    if not 3 <= patches.ndim <= 5:
        raise ValueError(
            f"patches must be (N, C, *s) with 1 to 3 axes s, got shape {patches.shape}; "
            "for patches with one channel use patches[:, None]"
        )
    check_count("stride", stride)
    channels, *spatial_shape = patches.shape[1:]
    space = _check_image_shape(image_shape, channels, len(spatial_shape))
    at = [
        _positions_on_axis(S, s, stride, to_edge) for S, s in zip(space, spatial_shape, strict=True)
    ]
    grid = [len(positions) for positions in at]
    if len(patches) != prod(grid):
        raise ValueError(
            f"patches are {len(patches)}, but an image of shape {space} has {prod(grid)} of "
            f"shape {tuple(spatial_shape)} at stride {stride}; pass all of them and no others"
        )
    laid_out = patches.reshape(*grid, channels, *spatial_shape)
    if weights is not None:
        weights = _check_weights(weights, len(patches)).reshape(
            *grid, 1, *(1,) * len(spatial_shape)
        )
        sums = _overlap_add(laid_out, space, at, weights)
        one = np.broadcast_to(weights, (*grid, 1, *spatial_shape))
        cover = _overlap_add(one, space, at)
        if not cover.all():
            raise ValueError(
                "weights leave pixels without any; give each pixel a patch with weight > 0"
            )
        return (sums / cover).reshape(image_shape).astype(patches.dtype)
    sums = _overlap_add(laid_out, space, at)
    for axis, (V, S, s) in enumerate(zip(at, space, spatial_shape, strict=True), start=1):
        # counts are products over the axes
        cover = _overlap_add(np.ones((len(V), 1, s)), (S,), [V])
        sums /= cover.reshape(-1, *(1,) * (len(space) - axis))
    return sums.reshape(image_shape).astype(patches.dtype)


def _check_weights(weights, n):
    weights = check_floats("weights", np.asarray(weights, "float64"))
    if weights.shape != (n,):
        raise ValueError(f"weights must be ({n},), one for each patch, got shape {weights.shape}")
    if weights.min() < 0:
        raise ValueError(f"weights must be >= 0, got {weights.min():.3g}")
    return weights


class _Grid(NamedTuple):
    """Which positions patches are taken from."""

    stride: int
    border: int
    to_edge: bool

    def positions(self, extent, patch_extent):
        """Slice of the positions along an axis, or their indices if they are not regular."""
        last = extent - 2 * self.border - patch_extent
        if not self.to_edge or last % self.stride == 0:
            return slice(0, last + 1, self.stride)
        return np.r_[0 : last + 1 : self.stride, last]


def _windows(image, shape, grid):
    """Return all patches ``(*V, C, *shape)`` of an image ``(C, *S)``: a view if they are regular."""
    axes = tuple(range(1, 1 + len(shape)))
    inner = tuple(slice(grid.border, extent - grid.border) for extent in image.shape[1:])
    view = sliding_window_view(image[:, *inner], shape, axis=axes)
    return np.moveaxis(_at(view, image.shape[1:], shape, grid, first=1), 0, len(shape))


def _at(view, spatial_shape, shape, grid, first=0):
    """Take the positions of the grid along the axes from ``first`` on."""
    for axis, (extent, s) in enumerate(zip(spatial_shape, shape, strict=True), start=first):
        view = view[*(slice(None),) * axis, grid.positions(extent, s)]
    return view


def _whole(seen, shape, grid):
    """Return the indices of positions whose patches touch no masked pixel, or None for all."""
    if seen is None:
        return None
    inner = tuple(slice(grid.border, extent - grid.border) for extent in seen.shape[1:])
    whole = seen.all(axis=0)[inner]
    for axis, s in enumerate(shape):
        whole = sliding_window_view(whole, s, axis=axis).all(axis=-1)
    return np.flatnonzero(_at(whole, seen.shape[1:], shape, grid))


def _count(view, at):
    """Number of patches in a view ``(*V, C, *s)``, or at the given positions."""
    return prod(view.shape[: view.ndim // 2]) if at is None else len(at)


def _all_of(cut, d):
    """Return the patches ``(N, C, *shape)`` at all positions of views ``(*V, C, *shape)``."""
    ends = np.cumsum([_count(*one) for one in cut])
    patches = np.empty((ends[-1], *cut[0][0].shape[d:]), dtype=cut[0][0].dtype)
    for rows, (view, at) in zip(np.split(patches, ends[:-1]), cut, strict=True):
        if at is None:
            rows.reshape(view.shape)[...] = view
        else:
            rows[...] = view[np.unravel_index(at, view.shape[:d])]
    return patches


def _draw(cut, d, n, rng):
    """Return n patches at random positions: one draw over the positions of all images."""
    counts = [_count(*one) for one in cut]
    starts = np.cumsum([0, *counts[:-1]])
    drawn = np.random.default_rng(rng).integers(sum(counts), size=n)
    owner = np.searchsorted(starts, drawn, side="right") - 1
    patches = np.empty((n, *cut[0][0].shape[d:]), dtype=cut[0][0].dtype)
    for i, (view, at) in enumerate(cut):
        mine = np.flatnonzero(owner == i)
        places = drawn[mine] - starts[i]
        places = places if at is None else at[places]
        patches[mine] = view[np.unravel_index(places, view.shape[:d])]
    return patches


def _overlap_add(patches, space, at, weights=None):
    """Return the float64 sum ``(C, *S)`` of patches ``(*V, C, *s)`` at positions of each axis."""
    d = len(space)
    sums = np.zeros((patches.shape[d], *space))
    rows = 16  # positions along the first axis at a time, so that their patches stay in cache
    for start in range(0, len(patches), rows):
        block = patches[start : start + rows]
        if weights is not None:
            block = block * weights[start : start + rows]
        block = np.moveaxis(block, d, 0)
        corners = [at[0][start : start + rows], *at[1:]]
        for offset in np.ndindex(*patches.shape[d + 1 :]):
            target = [_shifted(V, o) for V, o in zip(corners, offset, strict=True)]
            if all(isinstance(t, slice) for t in target):
                sums[:, *target] += block[..., *offset]
            else:  # no position occurs twice on an axis, so nothing is added to one pixel twice
                arrays = [np.r_[t] if isinstance(t, slice) else t for t in target]
                sums[:, *np.ix_(*arrays)] += block[..., *offset]
    return sums


def _shifted(positions, offset):
    """Positions moved by an offset: as a slice, which is faster, if they are regular."""
    if isinstance(positions, range):
        start = positions.start + offset
        return slice(start, start + len(positions) * positions.step, positions.step)
    return positions + offset


def _positions_on_axis(S, s, stride, to_edge):
    """A range, or an array where the last position is not regular."""
    if s > S:
        raise ValueError(f"patches of extent {s} are larger than the image of extent {S}")
    if stride > s or ((S - s) % stride and not to_edge):
        raise ValueError(
            f"stride {stride} leaves pixels that no patch covers (image extent {S}, patch extent "
            f"{s}); it must be at most {s} and divide {S - s}: crop or pad the image first, or use "
            "to_edge=True here and in extract_patches"
        )
    regular = range(0, S - s + 1, stride)
    return regular if (S - s) % stride == 0 else np.r_[regular, S - s]


def _check_image_shape(image_shape, channels, d):
    """Return the spatial shape *S* in ``image_shape``, which is ``(C, *S)`` or ``(*S)``."""
    if not isinstance(image_shape, tuple | list):
        raise TypeError(f"image_shape must be a tuple such as (512, 512), got {image_shape!r}")
    image_shape = tuple(image_shape)
    if len(image_shape) == d and channels == 1:
        image_shape = (1, *image_shape)
    if len(image_shape) != d + 1 or image_shape[0] != channels:
        raise ValueError(
            f"image_shape must be (C, *S) with C = {channels} and {d} axes S, or (*S) for one "
            f"channel, to match the patches; got {image_shape}"
        )
    return check_shape("image_shape", image_shape[1:])


def _check_images(images, shape, border):
    """Return images ``(C, *S)`` of equal C and dtype, each with its mask of seen pixels or None."""
    named = (
        {f"images[{i}]": image for i, image in enumerate(images)}
        if isinstance(images, list | tuple)
        else {"images": images}
    )
    if not named:
        raise ValueError("images is an empty list; pass at least one image")
    checked = [_check_image(name, image, shape, border) for name, image in named.items()]
    first = checked[0][0]
    for name, (image, _) in zip(named, checked, strict=True):
        if image.dtype != first.dtype:
            raise TypeError(f"{name} is {image.dtype}, images[0] {first.dtype}; convert one")
        if len(image) != len(first):
            raise ValueError(f"{name} has {len(image)} channels, images[0] has {len(first)}")
    return checked


def _check_image(name, image, shape, border):
    image, seen = split_masked(image, None, name)
    if seen is not None:
        image = np.where(seen, image, image.dtype.type(0))  # masked pixels may be NaN
    image = check_floats(name, image, hint=MASK_HINT.format(name))
    d = len(shape)
    if image.ndim not in (d, d + 1):
        raise ValueError(
            f"{name} must be (*S) or (C, *S) with {d} axes S, as the patch shape {shape} has, got "
            f"shape {image.shape}; for a batch (N, C, *S) pass list({name})"
        )
    if image.ndim == d:
        image, seen = image[None], None if seen is None else seen[None]
    if not _fits(shape, border, image.shape[1:]):
        hint = "use smaller patches or leave that image out"
        if _fits(shape, border, image.shape[:-1]):  # (H, W, C)
            hint = f"channels come first: numpy.moveaxis({name}, -1, 0)"
        raise ValueError(
            f"shape {shape} with a border of {border} is larger than {name} of spatial shape "
            f"{image.shape[1:]}; {hint}"
        )
    return image, seen


def _fits(shape, border, spatial_shape):
    return all(s + 2 * border <= S for S, s in zip(spatial_shape, shape, strict=True))
