"""Which algorithm computes a convolution, decided once for a dictionary and a shape of signals.

Four algorithms compute ``D z`` and ``D^T x``. `ConvPlan` picks one of them:

1. batch-last: direct sums over the samples of the atoms that are not zero, for signals stored
   batch last in memory, and for atoms that are mostly zeros;
2. patch matrix: the atoms are as large as the signals, so D is one matrix;
3. FFT: the atoms are large;
4. direct: direct sums over all samples of the atoms.
"""

from enum import Enum
from functools import reduce
from operator import add

import numpy as np

from csc._backend import as_5d, as_kernel_input, kernels, namespace
from csc.operators import _fft_conv as fft_conv
from csc.operators._atom_sizes import stack_blocks
from csc.operators._batch_last_conv import BatchLastConv, is_batch_last, sparse_taps_pay

MIN_BATCH = 16  # signals: below, batch-last memory leaves most of a SIMD vector empty


class Method(Enum):
    """How a convolution is computed."""

    BATCH_LAST = "batch-last"
    PATCH_MATRIX = "patch matrix"
    FFT = "FFT"
    DIRECT = "direct"


class ConvPlan:
    """The maps of one dictionary for signals of one shape, stored in one order of memory.

    A plan does not refer to its dictionary: a dictionary that is no longer used is freed at once.

    Parameters
    ----------
    dictionary : Dictionary
    signal_shape : tuple of ints
        Spatial shape *S* of the signals.
    batch_last : bool
        Whether arrays are stored batch last; else in C order.

    Attributes
    ----------
    method : Method
        For ``D z`` and ``D^T x``.
    atoms_method : Method
        For the adjoint in the atoms, in any order of memory.
    """

    def __init__(self, dictionary, signal_shape, *, batch_last=False):
        D, geometry = dictionary, dictionary.geometry
        self.atoms, self.parts, self.geometry = D.atoms, D.parts, geometry
        self.part_slices = D.part_slices
        self.signal_shape, self.batch_last = tuple(signal_shape), batch_last
        self.spatial_code_shape = geometry.spatial_code_shape(self.signal_shape)
        self.borders = geometry.borders(self.signal_shape)
        self.padded_shape = self.borders.padded_shape
        self.patch_matrix = D.patch_matrix if D.is_patch(self.signal_shape) else None
        self.method, self.atoms_method = self._choose(D), self._choose_dense(for_atoms=True)
        self._spectra_cache = self._last_conv = None

    @classmethod
    def of(cls, dictionary, a, signal_shape):
        """The plan for arrays like ``a``; the dictionary keeps the last one of each memory order.

        Parameters
        ----------
        dictionary : Dictionary
        a : array
            Signals or codes.
        signal_shape : tuple of ints
        """
        signal_shape = tuple(signal_shape)
        batch_last = namespace(a) is np and is_batch_last(a)
        name = "_plan_batch_last" if batch_last else "_plan_c_order"
        plan = dictionary.__dict__.get(name)
        if plan is None or plan.signal_shape != signal_shape:
            plan = cls(dictionary, signal_shape, batch_last=batch_last)
            object.__setattr__(dictionary, name, plan)
        return plan

    def _choose(self, dictionary):
        if self.batch_last:
            return Method.BATCH_LAST
        dense = self._choose_dense()
        if namespace(self.atoms) is not np or dense is Method.PATCH_MATRIX:
            return dense
        shapes = self.atoms.shape, self.spatial_code_shape, self.padded_shape
        return Method.BATCH_LAST if sparse_taps_pay(dictionary.n_terms, *shapes) else dense

    def _choose_dense(self, *, for_atoms=False):
        """The method where all samples of the atoms count."""
        if self.patch_matrix is not None:
            return Method.PATCH_MATRIX
        shapes = [atoms.shape for _, atoms in self.parts]
        if fft_conv.is_faster(
            shapes, self.spatial_code_shape, self.padded_shape, for_atoms=for_atoms
        ):
            return Method.FFT
        return Method.DIRECT

    def synthesize(self, z):
        """``D z``: signals ``(N, C, *S)`` of codes ``(N, K, *V)``."""
        n, channels = len(z), self.atoms.shape[1]
        if self.method is Method.BATCH_LAST:
            return self._batch_last_conv(n).synthesize(z)
        if self.method is Method.PATCH_MATRIX:
            rows = self.patch_matrix.synthesize(z.reshape(n, -1))
            return rows.reshape(n, channels, *self.signal_shape)
        padded = self.padded_shape
        if self.method is Method.FFT:
            signals = fft_conv.synthesize(z, self._spectra, self.geometry.stride, padded)
            return self.borders.unpad(signals)
        xp, blocks = namespace(z, self.atoms), []
        for which, atoms in self.parts:
            blocks.append(xp.empty((n, channels, *padded), z.dtype))
            to = as_5d(blocks[-1])
            kernels(z).synthesize(
                as_kernel_input(z[:, which]), as_kernel_input(atoms), self._stride, to
            )
        return self.borders.unpad(reduce(add, blocks))

    def correlate(self, x):
        """``D^T x``: correlations ``(N, K, *V)`` of signals ``(N, C, *S)`` with the atoms."""
        n, spatial_shape = len(x), self.spatial_code_shape
        if self.method is Method.BATCH_LAST:
            return self._batch_last_conv(n).correlate(x)
        if self.method is Method.PATCH_MATRIX:
            return self.patch_matrix.correlate(x.reshape(n, -1)).reshape(n, -1, *spatial_shape)
        padded = self.borders.pad(x)
        if self.method is Method.FFT:
            return fft_conv.correlate(padded, self._spectra, self.geometry.stride, spatial_shape)
        xp, padded, blocks = namespace(x, self.atoms), as_kernel_input(padded), []
        for _, atoms in self.parts:
            blocks.append(xp.empty((n, len(atoms), *spatial_shape), x.dtype))
            kernels(x).correlate(padded, as_kernel_input(atoms), self._stride, as_5d(blocks[-1]))
        return blocks[0] if len(blocks) == 1 else xp.concatenate(blocks, axis=1)

    def correlate_atoms(self, r, z):
        """The adjoint in the atoms: correlations ``(K, C, *s)`` of signals with codes."""
        n, stride = len(r), self.geometry.stride
        if self.atoms_method is Method.PATCH_MATRIX:
            g = (z.reshape(n, -1).T @ r.reshape(n, -1)).reshape(self.atoms.shape)
            return self._stacked([g[own] for own in self.part_slices])
        padded = self.borders.pad(r)
        if self.atoms_method is Method.FFT:
            g = fft_conv.correlate_atoms(padded, z, stride, self.geometry.atom_shape)
            return self._stacked([g[own] for own in self.part_slices])
        xp, padded, blocks = namespace(r, z, self.atoms), as_kernel_input(padded), []
        for which, atoms in self.parts:
            blocks.append(xp.empty(atoms.shape, r.dtype))
            to = as_5d(blocks[-1])
            kernels(r).correlate_atoms(padded, as_kernel_input(z[:, which]), self._stride, to)
        return self._stacked(blocks)

    @property
    def has_proximal_step(self):
        """Whether `proximal_step` exists: one kernel computes correlations and soft threshold."""
        if self.method is Method.DIRECT:
            return len(self.parts) == 1
        return self.method is Method.BATCH_LAST

    def proximal_step(self, x, step, point, prox, fits=()):
        """``prox(y + step D^T r)`` in one pass over the codes, see `Dictionary.proximal_step`."""
        if self.method is Method.BATCH_LAST:  # residuals are never stored
            return self._batch_last_conv(len(x)).proximal_step(x, fits, point, step, prox)
        z, z_old, momentum = point
        xp = namespace(z)
        if fits:
            fit, fit_old = fits
            x = x - (fit + xp.asarray(momentum, dtype=fit.dtype) * (fit - fit_old))
        out, atoms = xp.empty(z.shape, z.dtype), self.atoms * xp.asarray(step, self.atoms.dtype)
        restart_score = kernels(x, z).proximal_step(
            as_kernel_input(self.borders.pad(x)), as_kernel_input(atoms), self._stride,
            (as_kernel_input(z), as_kernel_input(z_old), momentum), prox, as_5d(out),
        )  # fmt: skip
        return out, restart_score

    def dual_infeasibility(self, x, padded, inverse_lmbda, positive):
        """``max_k |D^T x|_k / lmbda_k`` at every position ``(N, *V)``; nothing larger is stored.

        Parameters
        ----------
        x : array (N, C, *S)
        padded : array (N, C, P0, P1, P2)
            The same signals with their borders.
        inverse_lmbda : array (K,)
        positive : bool
            Whether codes must not be negative: without the modulus, and at least 0.
        """
        n = len(x)
        if self.method is Method.BATCH_LAST:
            return self._batch_last_conv(n).dual_infeasibility(x, inverse_lmbda, positive)
        blocks, positions = [], (1,) * (5 - x.ndim) + self.spatial_code_shape
        for which, atoms in self.parts:
            blocks.append(np.empty((n, *positions), x.dtype))
            kernels(x).dual_infeasibility(
                padded, as_5d(atoms), inverse_lmbda[which], self._stride, positive, blocks[-1]
            )
        return reduce(np.maximum, blocks).reshape(n, *self.spatial_code_shape)

    def _batch_last_conv(self, n):
        """The kernels' tables for ``n`` signals; the last ones are kept."""
        conv = self._last_conv  # another thread may replace it: looked at once
        if conv is None or conv.n != n:
            shape = n, *self.signal_shape
            conv = BatchLastConv(self.atoms, self.geometry, shape, batch_last=self.batch_last)
            self._last_conv = conv
        return conv

    @property
    def _spectra(self):
        """Spectra of the atoms, computed when first needed."""
        if self._spectra_cache is None:
            self._spectra_cache = fft_conv.spectra(self.atoms, self.padded_shape)
        return self._spectra_cache

    @property
    def _stride(self):
        return (1,) * (5 - self.atoms.ndim) + self.geometry.stride

    def _stacked(self, blocks):
        return stack_blocks(blocks, self.part_slices, self.atoms.shape)


def batch_last_pays(dictionary, x):
    """Whether many signals ``x``, and their codes, should be stored batch last in memory.

    Not where the atoms are as large as the signals: a matrix product reads signals as rows.
    """
    is_many = namespace(x) is np and len(x) >= MIN_BATCH
    return is_many and not dictionary.is_patch(x.shape[2:])
