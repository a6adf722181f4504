"""The demos that compare sets of fields: overcompleteness, and the stride of convolutional learning."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import csc
from demos import _field_shares, overcompleteness, stride_sweep
from doubles.gabor_atoms import gabor_atoms


def test_shares_are_those_of_the_report(rng):
    _, report = gabor_atoms(20, 12, rng)
    found = _field_shares.shares(report)
    assert found["gabor_share"] == (report.fit.r2 >= 0.8).mean()
    assert found["null_gabor_share"] == (report.null_phase.r2 >= 0.8).mean()
    assert found["gabor_share_of_atoms"] == found["gabor_share"]
    assert found["cut_share"] == 0
    assert _field_shares.cells(found)[:2] == ["0.50 [0.40, 0.60]", "0.90"]
    assert len(_field_shares.cells(found)) == _field_shares.COLUMNS.count("|") + 1


def test_unexplained_energy_is_that_of_the_best_codes(rng):
    atoms = np.linalg.qr(rng.standard_normal((25, 25)))[0].T.reshape(25, 1, 5, 5)
    codes = np.zeros((2, 25))
    codes[0, :4], codes[1, [3, 7]] = [3.0, -2.0, 1.0, 0.5], [1.0, 2.0]
    X = (codes @ atoms.reshape(25, 25)).reshape(2, 1, 5, 5)
    left = (1 + 0.25) / (codes**2).sum()
    assert overcompleteness.unexplained(X, atoms, 2) == pytest.approx(left)


def test_numbers_of_atoms_follow_the_factor_and_the_stride(monkeypatch):
    made = []

    def learn(*arguments):
        made.append(arguments[1:-1])
        raise StopIteration

    args = overcompleteness.parse_arguments(["--side", "8"])
    monkeypatch.setattr(overcompleteness, "learn", learn)
    for factor in args.factors:
        with pytest.raises(StopIteration):
            overcompleteness.one_factor(None, None, factor, args)
    assert made == [(83,), (320,), (640,)]
    monkeypatch.setattr(stride_sweep, "learn", learn)
    for stride, factor in stride_sweep.SETTINGS:
        with pytest.raises(StopIteration):
            stride_sweep.one_setting([], stride, factor, SimpleNamespace(seeds=[0]))
    assert made[3:] == [(1, 8, 0), (2, 32, 0), (4, 128, 0), (4, 64, 0)]


def test_codes_have_the_stride_that_is_asked_for():
    args = stride_sweep.parse_arguments(
        ["--side", "5", "--window", "17", "--windows", "4", "--passes", "1"]
    )
    whitened = [np.random.default_rng(0).standard_normal((40, 40))]
    learner = stride_sweep.learn(whitened, 4, 3, 0, args)
    assert learner.dictionary_.geometry.stride == (4, 4)
    assert learner.atoms_.shape == (3, 1, 5, 5)
    assert learner.penalty_ == csc.L1(0.5)


def test_with_hann_atoms_and_null_models_are_under_the_window(monkeypatch):
    args = stride_sweep.parse_arguments(
        ["--side", "7", "--window", "21", "--windows", "4", "--passes", "1", "--hann"]
    )
    learner = stride_sweep.learn(
        [np.random.default_rng(0).standard_normal((40, 40))], 2, 4, 0, args
    )
    atoms, sine = learner.atoms_, np.sin(np.pi * np.arange(7) / 6) ** 2
    window = sine[:, None] * sine
    assert not atoms[..., window == 0].any()
    inside = window > 1e-9
    energies = ((atoms[..., inside] / window[inside]) ** 2).sum(axis=(1, 2))
    assert energies == pytest.approx(np.ones(4), rel=1e-3)
    assert not (atoms[..., ~inside] > 1e-9).any()
    asked = []
    monkeypatch.setattr(
        csc.analysis.receptive_fields, "analyse", lambda *a, **k: asked.append((a, k))
    )
    stride_sweep.analyse(atoms, args)
    [((without,), options)] = asked
    assert options["aperture"] == pytest.approx(window, abs=1e-12)
    assert without * window == pytest.approx(atoms, abs=1e-6)


@pytest.mark.slow
def test_both_demos_write_their_pictures_and_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(overcompleteness, "N_HELD_OUT", 100)
    small = ["--factors", "1", "2", "--side", "6", "--patches", "500", "--passes", "1"]
    rows = overcompleteness.main([*small, "--fitted", "9", "--out", str(tmp_path)])
    assert [row["n_learned"] for row in rows] == [36, 72]
    assert all(0 < row["unexplained"] < row["null_unexplained"] < 1 for row in rows)
    monkeypatch.setattr(stride_sweep, "SETTINGS", ((1, 2), (2, 2)))
    small = ["--side", "6", "--window", "24", "--windows", "8", "--passes", "1"]
    rows = stride_sweep.main([*small, "--seeds", "0", "1", "--out", str(tmp_path)])
    assert [row["n_atoms"] for row in rows] == [4, 16]
    by_seed = [row["gabor_share_of_atoms_by_seed"] for row in rows]
    assert np.mean(by_seed, 1) == pytest.approx([row["gabor_share_of_atoms"] for row in rows])
    for name in ("overcompleteness", "stride_sweep"):
        assert len(json.loads((tmp_path / f"{name}.json").read_text())["rows"]) == 2
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
