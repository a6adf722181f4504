"""Averages over shifts of strided models."""

import numpy as np
import pytest

import csc
from reference.dictionary_kinds import make

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")


def test_it_is_the_mean_of_shifted_reconstructions(rng):
    D, x = make("circular", rng)  # stride (2, 1)
    coder, x = csc.nn.SparseCode(D, 0.1, 5), torch.from_numpy(x)
    one = coder.reconstruct(x)
    other = coder.reconstruct(x.roll(1, 2)).roll(-1, 2)
    torch.testing.assert_close(csc.nn.StridedShiftAverage(coder)(x), (one + other) / 2)


@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize("kind", ["full, channels, odd", "same, stride, channels", "volume"])
def test_shifts_come_back_to_their_place(kind, margin, rng):
    """A coder that copies its input must give the signal itself."""
    D, x = make(kind, rng)
    coder, x = csc.nn.SparseCode(D, 0.1), torch.from_numpy(x)
    seen = []
    coder.reconstruct = lambda y: seen.append(y) or y
    torch.testing.assert_close(csc.nn.StridedShiftAverage(coder, margin)(x), x)
    assert len(seen[0]) == 2 * np.prod(D.geometry.stride)
    # the atoms fill the shifted signals, and every shift is another one
    assert D.signal_shape(D.spatial_code_shape(seen[0].shape[2:])) <= tuple(seen[0].shape[2:])
    assert len({tuple(y.flatten().tolist()) for y in seen[0][::2]}) == len(seen[0]) // 2


def test_a_stride_of_one_is_the_coder_itself(rng):
    D, x = make("valid", rng)
    coder, x = csc.nn.SparseCode(D, 0.1), torch.from_numpy(x)
    torch.testing.assert_close(csc.nn.StridedShiftAverage(coder)(x), coder.reconstruct(x))


def test_what_cannot_reconstruct_is_refused(rng):
    with pytest.raises(TypeError, match="coder must be a module with a method reconstruct"):
        csc.nn.StridedShiftAverage(torch.nn.Identity())
    with pytest.raises(ValueError, match="margin must be >= 0"):
        csc.nn.StridedShiftAverage(csc.nn.SparseCode(make("valid", rng)[0], 0.1), -1)


@pytest.mark.parametrize("mode", ["full", "circular"])
def test_what_is_no_batch_of_signals_is_refused(mode):
    coder = csc.nn.SparseCode(csc.nn.random_dictionary((3, 1, 4), mode, 2), 0.1)
    average = csc.nn.StridedShiftAverage(coder)
    with pytest.raises(TypeError, match="x must be a tensor, got ndarray"):
        average(np.zeros((1, 1, 12), "float32"))
    with pytest.raises(
        ValueError, match=r"x must be \(N, C, \*S\) with 1 spatial axes, got \(1, 12\)"
    ):
        average(torch.zeros(1, 12))
