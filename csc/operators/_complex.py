"""Complex signals, atoms and codes as real ones: real and imaginary parts as channels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from csc._backend import namespace
from csc._typing import Array, Mode, Stride
from csc._validation import check_complex, check_real
from csc.operators._dictionary import Dictionary

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


def complex_to_channels(a: Array) -> Array:
    """Real and imaginary parts of signals or atoms as channels: C complex channels become 2 C real ones.

    The real parts come first. A problem with real codes, complex atoms and complex signals is the
    real problem of these channels, since ``|u|^2 = Re(u)^2 + Im(u)^2``.

    Parameters
    ----------
    a : array (N, C, *S) or (K, C, *s), complex64 or complex128
        A real array has imaginary parts of 0. Where one part is NaN, both become NaN: missing.

    Returns
    -------
    array (N, 2 C, *S), float32 or float64

    Raises
    ------
    TypeError, ValueError
        If ``a`` is no array of complex or real floats with a channel axis.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.operators.complex_to_channels(np.array([[[1 + 2j, 3j]]]))
    array([[[1., 0.],
            [2., 3.]]])
    """
    a = check_complex("a", a)
    if a.ndim < 2:
        raise ValueError(f"a must be (N, C, *S), got shape {a.shape}; use a[None, None]")
    xp = namespace(a)
    parts, missing = [a.real, a.imag], xp.isnan(a)
    if bool(missing.any()):
        parts = [xp.where(missing, a.real.dtype.type(np.nan), part) for part in parts]
    return xp.concatenate(parts, axis=1)


def channels_to_complex(a: Array) -> Array:
    """Complex signals or atoms from real ones, the inverse of `complex_to_channels`.

    Parameters
    ----------
    a : array (N, 2 C, *S), float32 or float64
        Real parts in the first C channels, imaginary parts in the others.

    Returns
    -------
    array (N, C, *S), complex64 or complex128

    Raises
    ------
    TypeError, ValueError
        If ``a`` is not a real array with an even number of channels.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.operators.channels_to_complex(np.array([[[1.0, 0.0], [2.0, 3.0]]]))
    array([[[1.+2.j, 0.+3.j]]])
    """
    a = check_real("a", a)
    if a.ndim < 2 or a.shape[1] % 2:
        raise ValueError(
            "a must be (N, 2 C, *S), real parts before imaginary parts along axis 1, got shape "
            f"{a.shape}"
        )
    half = a.shape[1] // 2
    return a[:, :half] + 1j * a[:, half:]


def complex_dictionary(
    atoms: Array | Sequence[Array], mode: Mode = "full", stride: Stride = 1
) -> Dictionary:
    """Real dictionary of complex atoms with complex codes: two real atoms, d and i d, for each atom.

    With ``z = a + i b``, ``z d = a d + b (i d)``. Atom k is therefore the real atoms 2 k and 2 k + 1,
    whose codes are the real and the imaginary part of its code; their channels are those of
    `complex_to_channels`. `csc.GroupL21` with groups of two is ``lmbda sum |z|``. For real codes use
    ``csc.Dictionary(complex_to_channels(atoms))`` instead.

    Parameters
    ----------
    atoms : array (K, C, *s), complex64 or complex128, or a list of such arrays
        Real atoms may have complex codes, too.
    mode, stride
        As of `csc.Dictionary`.

    Returns
    -------
    Dictionary
        2 K atoms of 2 C channels.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.operators.complex_dictionary(np.array([[[1.0, 2j]]]))
    >>> z = csc.operators.complex_to_codes(np.array([[[3 + 1j]]]))
    >>> csc.operators.channels_to_complex(D(z))
    array([[[ 3.+1.j, -2.+6.j]]])
    """
    if isinstance(atoms, list | tuple):
        return Dictionary([_pairs(one) for one in atoms], mode, stride)
    return Dictionary(_pairs(atoms), mode, stride)


def _pairs(atoms):
    """Real atoms ``(2 K, 2 C, *s)``: d and i d in turn."""
    atoms = check_complex("atoms", atoms)
    if atoms.ndim < 3:
        raise ValueError(
            f"atoms must be (K, C, *s) with 1 to 3 spatial axes, got shape {atoms.shape}"
        )
    both = namespace(atoms).stack([atoms, 1j * atoms], axis=1)
    return complex_to_channels(both.reshape(-1, *atoms.shape[1:]))


def codes_to_complex(z: Array) -> Array:
    """Complex codes from those of a `complex_dictionary`.

    Parameters
    ----------
    z : array (N, 2 K, *V), float32 or float64
        Real and imaginary parts in turn.

    Returns
    -------
    array (N, K, *V), complex64 or complex128

    Raises
    ------
    TypeError, ValueError
        If ``z`` is not a real array with an even number of atoms.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.operators.codes_to_complex(np.array([[[1.0], [2.0]]]))
    array([[[1.+2.j]]])
    """
    z = check_real("z", z)
    if z.ndim < 3 or z.shape[1] % 2:
        raise ValueError(
            f"z must be (N, 2 K, *V), the codes of a complex_dictionary, got shape {z.shape}"
        )
    return z[:, ::2] + 1j * z[:, 1::2]


def complex_to_codes(z: Array) -> Array:
    """Codes of a `complex_dictionary` from complex ones, to start a solve or to synthesise.

    Parameters
    ----------
    z : array (N, K, *V), complex64 or complex128

    Returns
    -------
    array (N, 2 K, *V), float32 or float64

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.operators.complex_to_codes(np.array([[[1 + 2j]]])).shape
    (1, 2, 1)
    """
    z = check_complex("z", z)
    if z.ndim < 3:
        raise ValueError(f"z must be (N, K, *V), got shape {z.shape}")
    n, k, *spatial = z.shape
    return namespace(z).stack([z.real, z.imag], axis=2).reshape(n, 2 * k, *spatial)


def complex_operator(operator: Any) -> "LinearOperator":
    """A complex linear operator on real and imaginary parts, for `csc.MeasuredDictionary`.

    Takes and returns real parts followed by imaginary parts, as `complex_to_channels` puts them: a
    matrix A becomes ``[[Re A, -Im A], [Im A, Re A]]``. Measured signals ``(N, m)`` are then
    ``complex_to_channels(y)`` of shape ``(N, 2 m)``.

    Parameters
    ----------
    operator : LinearOperator, array or sparse matrix (m, n)
        Complex or real, such as a Fourier transform at some frequencies.

    Returns
    -------
    LinearOperator (2 m, 2 n)

    Examples
    --------
    >>> import numpy as np, csc
    >>> A = csc.operators.complex_operator(np.array([[1 + 2j]]))
    >>> A @ np.array([3.0, 1.0])  # (1 + 2i) (3 + i) = 1 + 7i
    array([1., 7.])
    """
    from csc.operators._parts_operator import PartsOperator  # loads scipy.sparse.linalg

    return PartsOperator(operator)
