"""Small runs of the demo of convolutional learning, and of the benchmark of learning."""

import json

import numpy as np
import pytest

import csc
from demos import learn_conv as demo
from demos.bench import __main__ as bench
from demos.bench import learning


def drawn():
    """An edge, a grating, a centre-surround field, a corner, and noise."""
    y, x = np.mgrid[-5.5:6, -5.5:6]
    near = np.exp(-(x**2 + y**2) / 8)
    edge = np.exp(-(x**2) / 8 - y**2 / 18) * np.sin(2 * np.pi * 0.1 * x)
    grating = np.exp(-(x**2 + y**2) / 32) * np.cos(2 * np.pi * 0.25 * x)
    corner = near * np.where((x > 0) == (y > 0), 1, -1) * (abs(x) + abs(y) < 5)
    noise = np.random.default_rng(0).standard_normal(x.shape)
    atoms = [edge, grating, near * (8 - x**2 - y**2), corner, noise]
    return np.stack(atoms)[:, None]


def test_kinds_are_distinguished():
    kinds, r2 = demo.classify(drawn())
    assert list(kinds) == ["edge", "grating", "centre-surround", "corner", "other"]
    assert r2[0] > 0.95
    turned, _ = demo.classify(np.ascontiguousarray(drawn().swapaxes(2, 3)))
    assert list(turned) == list(kinds)


def test_orientedness_does_not_depend_on_the_direction():
    y, x = np.mgrid[-5.5:6, -5.5:6]
    for angle in np.linspace(0, np.pi, 7):
        bar = np.exp(-((np.cos(angle) * x + np.sin(angle) * y) ** 2) - (x**2 + y**2) / 18)
        assert demo.orientedness(bar[None, None])[0] > 0.8
    assert demo.orientedness(np.exp(-(x**2 + y**2) / 4)[None, None])[0] < 0.05


def test_shifted_duplicates_are_counted(rng):
    atom = np.zeros((1, 1, 9, 9))
    atom[..., 2:6, 2:6] = rng.standard_normal((4, 4))
    others = rng.standard_normal((2, 1, 9, 9))
    atoms = np.concatenate([atom, -np.roll(atom, (2, 1), (2, 3)), others])
    assert demo.duplicate_fraction(atoms) == 0.5


@pytest.mark.slow
def test_learn_conv_writes_its_picture_and_its_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "N_PATCHES", 1000)
    small = ["--atoms", "6", "--side", "6", "--window", "40", "--passes", "3"]
    numbers = demo.main([*small, "--out", str(tmp_path / "new")])
    assert set(numbers) == {"images", "patches", "noise"}
    assert all(sum(row[kind] for kind in demo.KINDS) == 6 for row in numbers.values())
    assert (tmp_path / "new" / "learn_conv.png").stat().st_size > 1000
    assert json.loads((tmp_path / "new" / "learn_conv.json").read_text()) == numbers


@pytest.mark.slow
@pytest.mark.parametrize("case", [["--images", "2", "--series", "0"], ["--images"]])
def test_bench_learning_prints_one_line_for_each_learner(case, monkeypatch, capsys):
    monkeypatch.setattr(learning, "SIDE", 48)
    monkeypatch.setattr(learning, "N_ATOMS", 5)
    monkeypatch.setattr(learning, "run_in_process", lambda learner, *arguments: learner(*arguments))
    monkeypatch.setattr(learning, "find_spec", lambda _: None)
    bench.main(["learning", *case, "--passes", "4", *(["--series", "700"] * (len(case) == 1))])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[0] == "{"]
    csc_line = lines[0]
    assert csc_line["method"] == "csc"
    assert csc_line["objectives"][-1] < csc_line["objectives"][0]
    assert len(csc_line["seconds"]) == 4
    assert csc_line["held_out"] > 0
    assert all("is not installed" in line["left_out"] for line in lines[1:])
    assert len(lines) == 3


def test_bench_learning_continues_if_a_peer_fails(monkeypatch, capsys, rng):
    def fails(*_):
        raise ValueError("setting an array element with a sequence")

    def learns(_):
        return [1.0], [rng.standard_normal((2, 1, 5))], 10**8

    monkeypatch.setattr(learning, "run_in_process", lambda learner, *arguments: learner(*arguments))
    signals = rng.standard_normal((2, 1, 40)), rng.standard_normal((1, 1, 40))
    peers = {"one": ("numpy", fails), "other": ("numpy", learns)}
    learning.compare("a case", signals, (learns,), peers, lambda _, X: float((X**2).sum()))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "one failed: ValueError" in lines[1]["left_out"]
    assert lines[2]["method"] == "other"
    assert lines[2]["ratio"] == 1


def test_the_series_of_the_bench_have_their_shapes():
    from demos.bench import learning_series as series

    X, held_out = series.trials(300)
    assert X.shape == (series.N_TRIALS, 1, 300)
    assert held_out.shape == (3, 1, 300)
    zeros = csc.constraints.UnitBall().project(np.ones((1, 1, series.ATOM_LENGTH)))
    assert series.evaluate(zeros, X) <= 0.5 * (X**2).sum() / len(X)
