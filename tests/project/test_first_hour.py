"""What a newcomer meets first: reprs, pictures, progress, versions."""

import io
import re
import sys
from base64 import b64decode
from functools import partial
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import csc
import csc._repr_html
from demos import _figures


class Strict(HTMLParser):
    """Fails on tags that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("img", "area"):  # which have no end
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags(html):
    parser = Strict()
    parser.feed(html)
    assert not parser.open
    return parser.seen


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 1, 12, 12))


@pytest.fixture
def D(rng):
    return csc.Dictionary(rng.standard_normal((5, 1, 4, 4)))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_dictionary_shows_its_atoms(rng, channels):
    D = csc.Dictionary(rng.standard_normal((5, channels, 4, 4)).astype("float32"))
    seen = dict(tags(D._repr_html_()))
    assert seen["img"]["src"].startswith("data:image/png;base64,iVBOR")


def test_a_dictionary_shows_the_sheet_of_its_report(rng):
    D = csc.Dictionary(rng.standard_normal((70, 1, 4, 6)))
    html = D._repr_html_()
    data = dict(tags(html))["img"]["src"].partition(",")[2]
    sheet = np.asarray(Image.open(io.BytesIO(b64decode(data))))
    grey = np.round(128 + 127 * D.atoms / abs(D.atoms).max(axis=(1, 2, 3), keepdims=True))
    titles = [attributes for tag, attributes in tags(html) if tag == "area"]
    assert [one["title"] for one in titles] == [str(i) for i in range(64)]
    for i in (0, 6, 7, 63):  # the area of an atom is where the sheet has it
        left, top, right, bottom = (int(n) for n in titles[i]["coords"].split(","))
        scale = sheet.shape[1] / 240
        x, y = (round((a + b) / 2 * scale) for a, b in ((left, right), (top, bottom)))
        np.testing.assert_array_equal(sheet[y - 2 : y + 2, x - 3 : x + 3, 0], grey[i, 0])
        assert (sheet[y - 3, x - 4 : x + 4, 3] == 0).all()  # between atoms, the page is seen
    assert "the first 64 of 70" in html


def test_a_series_shows_curves_and_a_volume_its_slices(rng):
    curves = tags(csc.Dictionary(rng.standard_normal((5, 2, 7)))._repr_html_())
    assert sum(tag == "polyline" for tag, _ in curves) == 5
    assert "img" in dict(tags(csc.Dictionary(np.ones((1, 1, 2, 2, 2)))._repr_html_()))


def test_channels_and_slices_lie_side_by_side():
    signed = np.zeros((2, 2, 1, 2))
    signed[:, 0, 0, 0], signed[:, 1, 0, 1] = [4.0, 2.0], [-2.0, 2.0]
    w = np.ones  # white
    left = [w(4), [1, 1, 0, 1], w(4), [1, 1, 0, 1], w(4)]  # channel 0, a column of two atoms
    right = [w(4), [1, 0, -0.5, 1], w(4), [1, 0, 1, 1], w(4)]
    expected = np.hstack([left, w((5, 2)), right])
    np.testing.assert_array_equal(csc.plot.montage(signed, n_columns=1), expected)
    volumes = np.array([[[1.0, 0.5]], [[-1.0, 0.25]]])[..., None, None]  # two slices of one pixel
    row = [1, 1, 1, 0.5, 1, 1, 1, -1, 1, 0.25, 1]
    np.testing.assert_array_equal(csc.plot.montage(volumes, n_columns=2), [w(11), row, w(11)])
    assert csc.plot.montage(np.repeat(volumes, 3, axis=1), n_columns=2).shape == (3, 11, 3)


def test_series_are_curves_a_colour_a_channel():
    atoms = np.array([[[0.0, 4.0], [2.0, 0.0]], [[-1.0, 0.0], [0.0, 0.5]]])
    zero, *lines = csc.plot.dictionary(atoms, Figure().subplots(), n_columns=2).lines
    assert [line.get_color() for line in lines] == list(csc.plot.PALETTE[:2])
    for line, heights in zip(lines, ([0, 1, np.nan, -1, 0], [0.5, 0, np.nan, 0, 0.5]), strict=True):
        np.testing.assert_allclose(line.get_ydata()[:5], heights)
    np.testing.assert_array_equal(zero.get_xdata()[[0, 1, 3, 4]], [0, 1, 3, 4])
    under = csc.plot.dictionary(atoms, Figure().subplots(), n_columns=1).lines[1]
    assert under.get_ydata()[4] < under.get_ydata()[:2].min()
    assert csc.plot.dictionary(atoms[..., :1], Figure().subplots()).lines[1].get_marker() == "."


@pytest.mark.parametrize("shape", [(5, 1, 4, 4), (5, 7, 4, 4), (5, 2, 3, 4, 5), (5, 2, 9)])
def test_all_atoms_can_be_drawn_and_what_holds_them(shape, rng):
    D = csc.Dictionary(rng.standard_normal(shape))
    kinds = D, D.atoms, csc.DictionaryLearning(5, shape[2:], 0.5, init=D.atoms, max_iter=1)
    kinds[2].fit(rng.standard_normal((6, *shape[1:])))
    drawn = [csc.plot.dictionary(kind, Figure().subplots()) for kind in kinds]
    assert [bool(len(ax.images) + len(ax.lines)) for ax in drawn] == [True] * 3


@pytest.mark.parametrize(
    ("atoms", "kwargs", "words"),
    [
        (np.ones((4, 5)), {}, r"atoms must be \(K, C, h, w\).*got shape \(4, 5\)"),
        (np.ones((4, 1, 3, 3)), {"n_columns": 0}, "n_columns must be >= 1, got 0"),
        (np.ones((4, 1, 3)), {"n_columns": 0}, "n_columns must be >= 1, got 0"),
        (np.ones((4, 1, 3)), {"gap": -1}, "gap must be >= 0, got -1"),
        (np.ones((4, 1, 3, 3)), {"gap": -1}, "gap must be >= 0, got -1"),
        (csc.DictionaryLearning(4, (3,), 1.0), {}, "a fitted learner"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(atoms, kwargs, words):
    with pytest.raises((TypeError, ValueError), match=words):
        csc.plot.dictionary(atoms, Figure().subplots(), **kwargs)


def test_gabor_fits_show_the_plane_that_was_fitted(rng):
    plane = rng.standard_normal((2, 1, 7, 7))
    colour = plane * np.array([0.6, -0.8])[:, None, None]
    fit = csc.analysis.receptive_fields.fit_gabor(colour, n_starts=1)
    (image,) = csc.plot.gabor_fits(colour, fit, Figure().subplots(), n=1).images
    first = plane[fit.r2.argmax(), 0]
    np.testing.assert_allclose(image.get_array()[1:8, 1:8], -first / abs(first).max())
    with pytest.raises(ValueError, match="fit must be of these atoms"):
        csc.plot.gabor_fits(colour[:1], fit)


def test_solutions_layers_and_learners_show_theirs(x, D, rng):
    layers = csc.MultiLayerDictionary([D, csc.Dictionary(rng.standard_normal((3, 5, 2, 2)))])
    learner = csc.DictionaryLearning(3, (4, 4), 0.5, max_iter=1, random_state=0)
    assert "<b>" not in csc._repr_html.card("a <b> c", D.atoms)
    unfitted = learner._repr_html_()
    assert "DictionaryLearning" in unfitted
    shown = [csc.sparse_code(x, D, 1.0), layers, learner.fit(x)]
    for one in shown:
        html = one._repr_html_()
        assert "img" in dict(tags(html))
        assert type(one).__name__ in html
    assert learner._repr_mimebundle_()["text/html"] == learner._repr_html_()


def test_whatever_holds_atoms_or_pictures_shows_them(x, D):
    layers = csc.MultiLayerDictionary([D])
    fields = csc.analysis.receptive_fields.analyse(D.atoms, rng=0)
    filters = csc.analysis.describe_filters(D, n_bootstrap=2, rng=0)
    for one in [
        csc.Problem(x, D, csc.L1(1.0)),
        csc.MultiLayerProblem(x, layers, [csc.L1(1.0)]),
        csc.MeasuredDictionary(D, np.eye(144), (12, 12)),
        filters,
        csc.analysis.compare_filters(filters, filters, n_bootstrap=2, rng=0),
        csc.interop.load_first_layer({"conv.weight": D.atoms}),
        fields,
        fields.fit,
        *csc.images.natural(["camera", "coffee"]),
    ]:
        html = one._repr_html_()
        assert "img" in dict(tags(html))
        assert escape(repr(one).splitlines()[0]) in html
    assert "0 atoms" in fields.fit[:0]._repr_html_()


@pytest.mark.parametrize(
    "penalty",
    [
        csc.L1(0.3, weights=np.ones((5, 1, 1))),
        csc.L1(0.0, positive=True),
        csc.ElasticNet(0.3),
        csc.GroupL21(2.0, 3),
        csc.L0(0.3),
        csc.LogPenalty(0.3),
    ],
    ids=repr,
)
def test_a_penalty_shows_its_prox(penalty):
    curve = dict(tags(penalty._repr_html_()))["polyline"]["points"].split()
    assert curve[80] == "40.0,40.0"  # 0 stays 0, in the middle
    assert all(0 <= float(part) <= 80 for point in curve for part in point.split(","))


def test_a_penalty_without_a_number_shows_its_words():
    assert dict(tags(csc.L1(csc.Relative(0.1))._repr_html_())).keys() == {"div", "pre"}


def test_no_repr_prints_arrays(x, D):
    fields = csc.analysis.receptive_fields.analyse(D.atoms, rng=0)
    cascade = csc.datasets.make_multilayer_dictionary([(4, 1, 5), (6, 4, 3)], 2, rng=0)
    for one in [
        csc.Problem(x, D, csc.L1(1.0, weights=np.ones((5, 1, 1)))),
        fields.fit,
        fields.summary,
        csc.analysis.match_dictionaries(D, D),
        csc.datasets.make_sparse_signals(cascade, 2, (20,), rng=0),
        *csc.images.natural(["camera"]),
    ]:
        assert "array(" not in repr(one)
        assert len(repr(one)) < 300


def test_progress_is_shown_when_asked_and_not_else(x, D, capsys):
    problem, seen = csc.Problem(x, D, csc.L1(1.0)), []
    silent = csc.solve(problem, csc.solvers.FISTA())
    assert capsys.readouterr().err == ""
    loud = csc.solve(problem, csc.solvers.FISTA(), verbose=True, callback=seen.append)
    assert "relative gap" in capsys.readouterr().err
    assert len(seen) == len(loud.history)
    np.testing.assert_array_equal(silent.codes, loud.codes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        lambda x, D, **v: csc.sparse_code(x, D, 1.0, **v),
        lambda x, D, **v: csc.lmbda_path(x, D, 3, tol=0.1, **v),
        lambda x, D, **v: csc.noise_constrained(x[:1], D, 5.0, tol=0.1, **v),
        lambda x, D, **v: csc.lmbda_for_sparsity(x, D, 20, tol=0.1, **v),
        lambda _, D, **v: csc.analysis.receptive_fields.fit_gabor(D.atoms, n_starts=1, **v),
        lambda _, D, **v: csc.analysis.receptive_fields.analyse(D.atoms, rng=0, **v),
        lambda _, D, **v: csc.analysis.compare_filters(D, D, n_bootstrap=2, rng=0, **v),
        lambda x, D, **v: csc.DictionaryLearning(5, (4, 4), 0.5, init=D.atoms, **v).fit(x).score(x),
    ],
)
def test_long_calls_show_a_bar_when_asked(x, D, call, capsys):
    call(x, D)
    assert capsys.readouterr().err == ""
    call(x, D, verbose=True)
    assert re.search(r"(step|solve|block|batch|group)", capsys.readouterr().err)


def test_reading_a_folder_shows_a_bar_when_asked(tmp_path, capsys):
    (tmp_path / "dots.pgm").write_bytes(b"P5 3 2 255 abcdef")
    csc.images.load_folder(tmp_path)
    assert capsys.readouterr().err == ""
    csc.images.load_folder(tmp_path, verbose=True)
    assert "1/1" in capsys.readouterr().err


def test_a_callback_stops_a_solve_that_shows_its_progress(x, D):
    def stop(_):
        raise StopIteration

    problem = csc.Problem(x, D, csc.L1(1.0))
    assert csc.solve(problem, csc.solvers.FISTA(), tol=0, callback=stop, verbose=True).n_iter == 10


def test_demos_draw_in_colours_that_all_eyes_tell_apart():
    lines = _figures.new_figure(3, 2).subplots().plot(np.eye(len(csc.plot.PALETTE)))
    assert [line.get_color() for line in lines] == list(csc.plot.PALETTE)


def test_without_matplotlib_one_sentence_says_what_to_install(D, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    filters = csc.analysis.describe_filters(D, n_bootstrap=2, rng=0)
    for draw in (partial(csc.plot.dictionary, D.atoms), partial(csc.plot.filter_sets, [filters])):
        with pytest.raises(ImportError, match=r"csc.plot needs matplotlib: pip install"):
            draw()


def test_solutions_are_drawn(x, D):
    solution = csc.sparse_code(x, D, 1.0)
    one, other = Figure().subplots(1, 2)
    (line,) = csc.plot.convergence(solution, one).lines
    np.testing.assert_allclose(line.get_ydata()[-1], solution.relative_gap)
    (image,) = csc.plot.codes(solution, other).images
    np.testing.assert_array_equal(image.get_array(), abs(solution.codes[0]).max(axis=0))
    for index in ({"signal": len(x)}, {"layer": 3}):
        with pytest.raises(IndexError, match=f"{next(iter(index))} must be an index of"):
            csc.plot.codes(solution, other, **index)
    patches = csc.sparse_code(x[:, :, :4, :4], D, 1.0)
    bars = csc.plot.codes(patches, Figure().subplots()).patches
    np.testing.assert_allclose(sum(bar.get_height() for bar in bars), abs(patches.codes[0]).sum())
    unfitted = csc.DictionaryLearning(5, (4, 4), 0.5)
    for draw, thing in [
        (csc.plot.history, unfitted),
        (csc.plot.convergence, unfitted),
        (csc.plot.codes, D),
        (csc.plot.diagnostics, unfitted),
    ]:
        with pytest.raises(TypeError, match="must be (what|the result|a fitted learner)"):
            draw(thing)
    with pytest.raises(ValueError, match="no gaps to draw"):
        csc.plot.convergence(csc.solve(csc.Problem(x, D, csc.L0(1.0))))
