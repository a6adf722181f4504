"""Linear systems of circular dictionaries: at each frequency, D is a small matrix."""

from typing import NamedTuple

import numpy as np
import scipy  # its modules load when first used

N_WORKERS = -1  # of scipy.fft: all cores


class CirculantGram(NamedTuple):
    """The atoms' spectra, and the eigenvectors of ``D(w) D(w)^H`` at every frequency w."""

    atoms: np.ndarray  # (K, C, *W) complex
    values: np.ndarray  # (*W, C)
    vectors: np.ndarray  # (*W, C, C)
    signal_shape: tuple  # S

    @classmethod
    def of(cls, atoms, signal_shape):
        """Spectra of atoms ``(K, C, *s)`` on signals of shape S."""
        spectra = scipy.fft.rfftn(atoms, signal_shape, axes=_axes(atoms), workers=N_WORKERS)
        last = np.moveaxis(spectra, (0, 1), (-1, -2))  # (*W, C, K)
        values, vectors = np.linalg.eigh(last @ last.conj().swapaxes(-1, -2))
        return cls(spectra, values.astype(atoms.dtype), vectors, tuple(signal_shape))

    def solve(self, b, rho):
        """Solve ``(D^T D + rho I) z = b`` by the matrix inversion lemma, for each frequency.

        ``z = (b - D^H (D D^H + rho I)^-1 D b) / rho`` (Sherman-Morrison for one channel).
        """
        z = scipy.fft.rfftn(b, axes=_axes(b), workers=N_WORKERS)
        y = np.einsum("kc...,nk...->n...c", self.atoms, z)
        y = np.einsum("...dc,n...d->n...c", self.vectors.conj(), y) / (self.values + rho)
        y = np.einsum("...cd,n...d->n...c", self.vectors, y)
        for n, signal in enumerate(y):  # needs no second array of the size of the codes
            z[n] -= np.einsum("kc...,...c->k...", self.atoms.conj(), signal)
        z = scipy.fft.irfftn(
            z, self.signal_shape, axes=_axes(b), workers=N_WORKERS, overwrite_x=True
        )
        z /= rho
        return z


def _axes(a):
    return tuple(range(2, a.ndim))
