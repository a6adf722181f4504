"""NaN are missing samples wherever a mask is taken, and refused by name elsewhere."""

import numpy as np
import pytest

import csc
from csc import certificates

RNG = np.random.default_rng(0)
SEEN = RNG.random((6, 1, 20)) < 0.8
WHOLE = RNG.laplace(size=SEEN.shape)
HOLES = np.where(SEEN, WHOLE, np.nan)
D = csc.Dictionary(csc.constraints.UnitSphere().project(RNG.standard_normal((4, 1, 5))))
Z = 0.1 * RNG.standard_normal((6, 4, 16))
P = csc.L1(0.5)


def learner():
    return csc.DictionaryLearning(4, (5,), 0.5, max_iter=2, random_state=0)


def of_one(x, mask):
    return x[:1], None if mask is None else mask[:1]


FITTED = learner().fit(WHOLE)
CALLS = {
    "Problem": lambda x, m: csc.Problem(x, D, P, m).gap(Z),
    "solve": lambda x, m: csc.solve(csc.Problem(x, D, P, m)).codes,
    "sparse_code": lambda x, m: csc.sparse_code(x, D, 0.5, mask=m).codes,
    "Relative": lambda x, m: csc.Problem(x, D, csc.L1(csc.Relative(0.1)), m).penalty.lmbda,
    "lmbda_max": lambda x, m: csc.lmbda_max(x, D, m),
    "lmbda_path": lambda x, m: csc.lmbda_path(x, D, 3, mask=m)[-1].codes,
    "noise_constrained": lambda x, m: (
        csc.noise_constrained(of_one(x, m)[0], D, 1.0, mask=of_one(x, m)[1]).codes
    ),
    "lmbda_for_sparsity": lambda x, m: csc.lmbda_for_sparsity(x, D, 5, mask=m).codes,
    "duality_gap": lambda x, m: certificates.duality_gap(x, D, Z, P, m),
    "certificate": lambda x, m: certificates.certificate(x, D, Z, P, m),
    "kkt_violation": lambda x, m: certificates.kkt_violation(x, D, Z, P, m),
    "fit": lambda x, m: learner().fit(x, mask=m).atoms_,
    "partial_fit": lambda x, m: learner().partial_fit(x, mask=m).atoms_,
    "transform": FITTED.transform,
    "score": lambda x, m: FITTED.score(x, mask=m),
    "transform of a list": lambda x, m: np.stack(
        FITTED.transform(list(x), None if m is None else list(m))
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("more", [False, True], ids=["alone", "with a mask"])
def test_nan_is_what_a_mask_of_zeros_is(call, more):
    extra = RNG.random(SEEN.shape) < 0.9 if more else None
    known = SEEN if extra is None else SEEN & extra
    expected = CALLS[call](WHOLE, known)
    found = CALLS[call](HOLES, extra)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert np.isfinite(found).all()


LAYERS = csc.MultiLayerDictionary([D, csc.Dictionary(RNG.standard_normal((3, 4, 3)))])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: csc.MultiLayerProblem(HOLES, LAYERS, [P, P]), "x holds NaN: multi-layer"),
        (
            lambda: csc.MultiLayerDictionaryLearning([learner(), learner()]).fit(HOLES),
            "X holds NaN: multi-layer",
        ),
        (lambda: D.adjoint(HOLES), "x holds NaN"),
        (lambda: csc.images.whiten(np.full((8, 8), np.nan)), "NaN"),
        (lambda: csc.Problem(np.nan * WHOLE, D, P), "nothing was observed"),
        (lambda: FITTED.fit(np.nan * WHOLE), "nothing but NaN"),
    ],
)
def test_nan_is_refused_where_nothing_may_be_missing(call, message):
    with pytest.raises(ValueError, match=message):
        call()
