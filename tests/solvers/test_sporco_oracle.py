"""sporco as an oracle: the same problem on its own boundary."""

import warnings

import numpy as np
import pytest

import csc


def test_the_objective_is_that_of_sporcos_admm(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reason = "sporco is not installed: pip install sporco"
        cbpdn = pytest.importorskip("sporco.admm.cbpdn", reason=reason)
    x = csc.images.natural()[0].pixels[None, None, 50:82, 60:92].astype("float64")
    x = x - x.mean()
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((8, 1, 5, 5)))
    D = csc.Dictionary(atoms, "circular")
    lmbda = 0.1 * csc.lmbda_max(x, D)
    ours = csc.sparse_code(x, D, lmbda, tol=1e-6)
    options = {"Verbose": False, "MaxMainIter": 500, "RelStopTol": 1e-5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = cbpdn.ConvBPDN.Options(options)
        theirs = cbpdn.ConvBPDN(np.moveaxis(atoms[:, 0], 0, -1), x[0, 0], lmbda, options).solve()
    z = np.moveaxis(theirs[:, :, 0, 0], -1, 0)
    fit = np.fft.irfft2((np.fft.rfft2(atoms[:, 0], x.shape[2:]) * np.fft.rfft2(z)).sum(0))
    value = 0.5 * ((x[0, 0] - fit) ** 2).sum() + lmbda * abs(z).sum()
    assert ours.objective == pytest.approx(value, rel=1e-3)
    assert ours.objective <= value * (1 + 1e-6)
