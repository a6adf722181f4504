"""A small run of the demo of guarantees."""

import pytest

from demos import guarantees


@pytest.mark.slow
def test_only_random_atoms_have_useful_bounds(tmp_path, capsys):
    numbers = guarantees.main(["--side", "48", "--out", str(tmp_path)])
    rows = numbers["dictionaries"]
    assert rows["random, 2 of 1024 samples"]["basis_pursuit"] > 3
    assert rows["learned, 64 of 8x8"]["uniqueness"] < 1.3
    assert all(row["welch_bound"] <= row["coherence"] for row in rows.values())
    stripes = list(numbers["stripe_norm_of_a_photograph"].values())
    assert stripes == sorted(stripes)
    assert stripes[-1] > 10  # far above all bounds
    assert (tmp_path / "guarantees.png").stat().st_size > 1000
    assert "codes in a stripe" in capsys.readouterr().out
