"""The fused proximal-gradient step next to the same in parts."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import csc
from csc.kernels.cpu import proximal_step
from csc.operators._conv_geometry import MODES


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), k=st.integers(1, 6), c=st.integers(1, 2), n=st.integers(1, 2),
    axes=st.integers(1, 3), stride=st.integers(1, 3), mode=st.sampled_from(MODES),
    penalty=st.sampled_from([csc.L1(0.2), csc.L1(0.2, positive=True), csc.ElasticNet(0.3, 2.0)]),
    weighted=st.booleans(), hidden=st.booleans(), dtype=st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_one_pass_is_the_step_in_its_parts(  # noqa: PLR0913
    seed, k, c, n, axes, stride, mode, penalty, weighted, hidden, dtype
):
    rng = np.random.default_rng(seed)
    spatial_shape = {1: (402,), 2: (24, 36), 3: (6, 6, 12)}[axes]
    D = csc.Dictionary(rng.standard_normal((k, c, *(3, 2, 4)[:axes])).astype(dtype), mode, stride)
    if weighted and type(penalty) is csc.L1:
        weights = rng.uniform(0.5, 2, (k, *(1,) * axes)).astype(dtype)
        penalty = csc.L1(0.2, weights, penalty.positive)
    x = rng.standard_normal((n, c, *spatial_shape)).astype(dtype)
    mask = (rng.random(x.shape) < 0.7).astype(dtype) if hidden else None
    problem = csc.Problem(x, D, penalty, mask)
    z, z_old = (rng.standard_normal(problem.code_shape).astype(dtype) for _ in range(2))
    y = z + 0.7 * (z - z_old)
    theirs = penalty.prox(y - 0.1 * problem.grad(y.astype(dtype)), 0.1)
    terms = (y - theirs).astype("float64") * (theirs - z)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    ours, restart_score = problem.proximal_step(
        (z, z_old), (D(z, spatial_shape), D(z_old, spatial_shape)), 0.7, 0.1
    )
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, theirs, **close)
    assert abs(restart_score - terms.sum()) <= close["rtol"] * abs(terms).sum()


@pytest.mark.usefixtures("all_threads")
def test_one_pass_is_the_same_for_any_number_of_threads(rng):
    r, atoms = rng.standard_normal((2, 1, 1, 300, 300)), rng.standard_normal((8, 1, 1, 8, 8))
    z, z_old = rng.standard_normal((2, 2, 8, 1, 293, 293))
    out, restart_score = np.empty_like(z), []
    most = numba.get_num_threads()
    for n in (1, most):
        numba.set_num_threads(n)
        prox = np.full(8, 0.1), 1.0, False
        restart_score.append(proximal_step(r, atoms, (1, 1, 1), (z, z_old, 0.5), prox, out))
    numba.set_num_threads(most)
    assert restart_score[0] == restart_score[1] != 0
