"""A small run of the demo of multi-layer pursuits, and what it claims."""

import json
from itertools import pairwise

import numpy as np
import pytest

from demos import ml_pursuit
from demos.bench import holistic

SMALL = ["--trials", "4", "--snr", "5", "30", "--zeros", "2", "--steps", "800"]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ml_pursuit, "LMBDA_FACTORS", ml_pursuit.LMBDA_FACTORS[1::2])
        written = ml_pursuit.main([*SMALL, "--out", str(out)])
    assert (out / "ml_pursuit.png").stat().st_size > 10_000
    assert json.loads((out / "ml_pursuit.json").read_text()) == written
    assert not list(out.glob("*.part"))
    return written


def test_errors_fall_with_the_noise_and_joint_pursuits_are_better_than_layered_ones(numbers):
    errors = {}
    for row in numbers["layers"]:
        assert np.isfinite(row["median_dB"] + row["mean_dB"]).all()
        errors.setdefault(row["method"], []).append(row["median_dB"])
    assert set(errors) == set(ml_pursuit.METHODS)
    noisy, clean = np.array(list(errors.values())).swapaxes(0, 1)
    assert (
        clean[1:] < noisy[1:] - 5
    ).all()  # except thresholding, which is wrong without noise, too
    named = dict(zip(errors, clean, strict=True))
    for joint in ("projection pursuit", "ML-ADMM", "holistic pursuit"):
        assert (named[joint] < named["layered basis pursuit"] - 3).all()
    assert (named["layered basis pursuit"] < named["layered thresholding"] - 3).all()


def test_suboptimality_falls_with_the_step_size_and_admm_reaches_the_minimum(numbers):
    last = {name: curve[-1][2] for name, curve in numbers["convergence"].items()}
    limits = [last[f"ML-FISTA {f:g}"] for f in ml_pursuit.STEP_SIZE_FACTORS]
    for upper, lower in pairwise(limits):
        assert 5 < upper / lower < 20
    assert last["ML-ADMM"] < 1e-2 * limits[-1]
    for f in ml_pursuit.STEP_SIZE_FACTORS:
        assert last[f"ML-ISTA {f:g}"] > 0.9 * last[f"ML-FISTA {f:g}"]
    for curve in numbers["convergence"].values():
        n_iter, seconds, suboptimality = np.array(curve).T
        assert (np.diff(n_iter) > 0).all()
        assert (np.diff(seconds) > 0).all()
        assert suboptimality.min() > -1e-9


def test_true_zeros_reduce_the_error_and_some_are_found(numbers):
    for row in numbers["zeros"]:
        medians = {name: row[name]["median_dB"] for name in ml_pursuit.ESTIMATES}
        assert np.isfinite(list(medians.values())).all()
        assert medians["support and zeros known"] < medians["support known"]
        assert medians["support known"] < min(medians["projection"], medians["holistic"])
        assert row["true_zeros_found"] > 0.1  # 2 of 100 codes, drawn at random, would be 2 %
        assert medians["holistic"] < medians["projection"] + 1


def test_holistic_pursuit_gains_as_the_mid_layer_gets_sparser_where_noise_allows():
    """At 45 dB most picked zeros are true; at 25 dB about half of them."""
    few, many = (
        holistic.summary([holistic.trial(z, 11, 45, n) for n in range(5)]) for z in (2, 10)
    )
    assert many["gain_dB"] > few["gain_dB"] + 0.5
    assert many["gain_dB"] > 1
    assert many["true"] > 0.8
    noisy = holistic.summary([holistic.trial(10, 11, 25, n) for n in range(5)])
    assert abs(noisy["gain_dB"]) < 1
    assert 0.3 < noisy["true"] < 0.85
    assert noisy["gain_of_true_zeros_dB"] > 1
