"""Extract patches from images, or from signals with 1 to 3 axes, and reassemble them."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from csc._typing import Array, ArrayLike, Extents, Rng, Stride
from csc._validation import check_count, check_floats, split_masked

MASK_HINT = "numpy.ma.masked_invalid({}) excludes the patches that touch it"


def extract_patches(
    images: ArrayLike | Sequence[ArrayLike],
    shape: Extents,
    n: int | None = None,
    *,
    stride: Stride = 1,
    border: int = 0,
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
        extents may differ; C and dtype must not. Masked arrays are supported. For a batch
        ``(N, C, *S)`` pass ``list(batch)``.
    shape : tuple of int
        Extents of a patch in pixels along 1 to 3 axes.
    n : int, optional
        Number of patches; by default all, image by image, the last axis varying fastest.
    stride : int
        Distance between neighbouring positions in pixels.
    border : int
        Width in pixels of the margin at every edge that no patch touches.
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
    shape = _check_shape("shape", shape)
    check_count("stride", stride)
    check_count("border", border, low=0)
    if n is not None:
        check_count("n", n)
    cut = [
        (_windows(image, shape, stride, border), _whole(seen, shape, stride, border))
        for image, seen in _check_images(images, shape, border)
    ]
    if not sum(_count(view, at) for view, at in cut):
        raise ValueError("images hold no patch without a masked pixel; use smaller patches")
    return _all_of(cut, len(shape)) if n is None else _draw(cut, len(shape), n, rng)


def reassemble(patches: Array, image_shape: Extents, *, stride: Stride = 1) -> Array:
    """Reassemble all patches of one image, averaging where they overlap.

    The inverse of ``extract_patches(image, shape, stride=stride)``. For modified patches (for
    example denoised ones) the result is the least-squares image: its patches are the closest to
    those given.

    Parameters
    ----------
    patches : (N, C, *s) float32 or float64 array
        In the order of `extract_patches`.
    image_shape : tuple of int
        ``(*S)``, for patches with one channel, or ``(C, *S)``.
    stride : int
        As in `extract_patches`. The patches must cover the image: ``stride`` at most *s* and
        a divisor of *S - s* along every axis.

    Returns
    -------
    image : array of shape ``image_shape``
        In the dtype of the patches; sums are accumulated in float64.

    Raises
    ------
    TypeError
        If the patches are not a float array, or ``image_shape`` or ``stride`` are not integers.
    ValueError
        If the patches hold NaN or do not cover the image, or if their number is wrong.

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
    channels, *extents = patches.shape[1:]
    space = _check_image_shape(image_shape, channels, len(extents))
    grid = [_positions_on_axis(S, s, stride) for S, s in zip(space, extents, strict=True)]
    if len(patches) != prod(grid):
        raise ValueError(
            f"patches are {len(patches)}, but an image of extents {space} has {prod(grid)} of "
            f"extents {tuple(extents)} at stride {stride}; pass all of them and no others"
        )
    sums = _overlap_add(patches.reshape(*grid, channels, *extents), space, stride)
    for axis, (V, S, s) in enumerate(zip(grid, space, extents, strict=True), start=1):
        cover = _overlap_add(np.ones((V, 1, s)), (S,), stride)  # counts are products over the axes
        sums /= cover.reshape(-1, *(1,) * (len(space) - axis))
    return sums.reshape(image_shape).astype(patches.dtype)


def _windows(image, shape, stride, border):
    """Return the view ``(*V, C, *shape)`` of all patches of an image ``(C, *S)``."""
    axes = tuple(range(1, 1 + len(shape)))
    inner = tuple(slice(border, extent - border) for extent in image.shape[1:])
    view = sliding_window_view(image[:, *inner], shape, axis=axes)
    return np.moveaxis(view[:, *(slice(None, None, stride),) * len(shape)], 0, len(shape))


def _whole(seen, shape, stride, border):
    """Return the indices of positions whose patches touch no masked pixel, or None for all."""
    if seen is None:
        return None
    whole = seen.all(axis=0)[*(slice(border, extent - border) for extent in seen.shape[1:])]
    for axis, s in enumerate(shape):
        whole = sliding_window_view(whole, s, axis=axis).all(axis=-1)
    return np.flatnonzero(whole[*(slice(None, None, stride),) * len(shape)])


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


def _overlap_add(patches, space, stride):
    """Return the float64 sum ``(C, *S)`` of patches ``(*V, C, *s)`` at their positions."""
    d = len(space)
    sums = np.zeros((patches.shape[d], *space))
    rows = 16  # positions along the first axis at a time, so that their patches stay in cache
    for start in range(0, len(patches), rows):
        block = np.moveaxis(patches[start : start + rows], d, 0)
        for offset in np.ndindex(*patches.shape[d + 1 :]):
            first = (start * stride + offset[0], *offset[1:])
            target = tuple(
                slice(o, o + V * stride, stride)
                for o, V in zip(first, block.shape[1 : d + 1], strict=True)
            )
            sums[:, *target] += block[..., *offset]
    return sums


def _positions_on_axis(S, s, stride):
    if s > S:
        raise ValueError(f"patches of extent {s} are larger than the image of extent {S}")
    if stride > s or (S - s) % stride:
        raise ValueError(
            f"stride {stride} leaves pixels that no patch covers (image extent {S}, patch extent "
            f"{s}); it must be at most {s} and divide {S - s}: crop or pad the image first"
        )
    return (S - s) // stride + 1


def _check_shape(name, shape):
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{name} must be a tuple such as (12, 12), got {shape!r}")
    if not 1 <= len(shape) <= 3:
        raise ValueError(f"{name} must have 1 to 3 axes, got {tuple(shape)}")
    return tuple(check_count(f"{name}[{i}]", extent) for i, extent in enumerate(shape))


def _check_image_shape(image_shape, channels, d):
    """Return the extents *S* in ``image_shape``, which is ``(C, *S)`` or ``(*S)``."""
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
    return _check_shape("image_shape", image_shape[1:])


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
            f"shape {shape} with a border of {border} is larger than {name} of extents "
            f"{image.shape[1:]}; {hint}"
        )
    return image, seen


def _fits(shape, border, extents):
    return all(s + 2 * border <= S for S, s in zip(extents, shape, strict=True))
