"""What scikit-learn asks of an estimator."""

import inspect

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import csc

X = np.random.default_rng(0).laplace(size=(12, 1, 20))
WEIGHTS = np.array([[1.0], [2.0], [1.0]])


def learner(**options):
    options = {"penalty": csc.L1(0.5, weights=WEIGHTS), "max_iter": 1} | options
    return csc.DictionaryLearning(3, (5,), random_state=0, **options)


def layers():
    parts = [csc.DictionaryLearning(4, (5,), 0.5, max_iter=1), learner()]
    return csc.MultiLayerDictionaryLearning(parts, 2, max_iter=1, random_state=0)


@pytest.mark.parametrize("kind", [csc.DictionaryLearning, csc.MultiLayerDictionaryLearning])
def test_arguments_after_lmbda_are_keyword_only(kind):
    parameters = list(inspect.signature(kind).parameters.values())
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert (len(names), names[-1]) == (3, "lmbda")
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[3:])


def test_penalties_with_weights_can_be_compared():
    one, same = csc.L1(0.5, weights=WEIGHTS), csc.L1(0.5, weights=WEIGHTS.copy())
    others = [
        csc.L1(0.5),
        csc.L1(0.5, weights=2 * WEIGHTS),
        csc.L1(0.5, weights=WEIGHTS[:2]),
        csc.L1(0.4, weights=WEIGHTS),
        csc.L1(0.5, weights=WEIGHTS, positive=True),
        csc.ElasticNet(0.5),
    ]
    assert one == same
    assert hash(one) == hash(same)
    assert not any(one == other or other == one for other in others)
    assert csc.L1(0.5) == csc.L1(0.5)


def test_a_grid_over_the_strength_of_a_penalty():
    grid = GridSearchCV(learner(), {"penalty__lmbda": [0.3, 1.5]}, cv=2).fit(X)
    assert grid.best_params_ == {"penalty__lmbda": 0.3}
    np.testing.assert_array_equal(grid.best_estimator_.penalty.weights, WEIGHTS)


def test_parameters_of_parts_can_be_read_and_set():
    model, penalty = (
        learner(homeostasis=csc.learning.HomeostaticGain()),
        csc.L1(0.5, weights=WEIGHTS),
    )
    params = model.get_params()
    assert (params["penalty__lmbda"], params["homeostasis__rate"]) == (0.5, 0.02)
    assert model.get_params(deep=False).keys() == clone(model).get_params(deep=False).keys()
    copy = clone(model).set_params(penalty__lmbda=0.1, homeostasis__rate=0.5)
    assert (copy.penalty.lmbda, copy.homeostasis.rate) == (0.1, 0.5)
    assert (model.penalty, model.homeostasis.rate) == (penalty, 0.02)
    model = csc.DictionaryLearning(3, (5,), csc.Relative(0.1)).set_params(lmbda__fraction=0.2)
    assert model.lmbda == csc.Relative(0.2)
    assert model.set_params(penalty=csc.L1(1.0), lmbda=None, penalty__lmbda=2.0).penalty.lmbda == 2


def test_parameters_of_layers():
    model = clone(layers())
    assert model.get_params()["layers__1__penalty__lmbda"] == 0.5
    model.set_params(layers__1__penalty__lmbda=0.2, layers__0__lmbda=0.1)
    assert (model.layers[1].penalty.lmbda, model.layers[0].lmbda) == (0.2, 0.1)
    grid = GridSearchCV(layers(), {"layers__0__lmbda": [0.4, 0.5]}, cv=2).fit(X)
    assert grid.best_params_["layers__0__lmbda"] in (0.4, 0.5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("penalty__strength", "penalty is L1.* has no parameter 'strength'"),
        ("homeostasis__rate", "homeostasis is None, which has no parameter 'rate'"),
        ("prior__rate", "Invalid parameter 'prior'"),
        ("strength", "Invalid parameter 'strength'"),
    ],
)
def test_what_is_no_parameter_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        learner().set_params(**{name: 1.0})


def test_names_of_features():
    names = [f"dictionarylearning{k}" for k in range(3)]
    pipe = make_pipeline(learner()).fit(X)
    assert pipe.get_feature_names_out().tolist() == names
    deep = layers().fit(X).get_feature_names_out()
    assert deep.tolist() == [f"multilayer{name}" for name in names]
    with sklearn.config_context(transform_output="pandas"):
        assert pipe.transform(X).shape == (12, 3, 16)  # codes are no table


@pytest.mark.parametrize("call", ["transform", "score", "partial_fit"])
@pytest.mark.parametrize("layers", [False, True])
def test_another_precision_is_refused_by_name(layers, call, rng):
    X = rng.standard_normal((3, 1, 8))
    learner = csc.DictionaryLearning(2, (3,), 0.1, max_iter=1)
    if layers:
        learner = csc.MultiLayerDictionaryLearning([learner], max_iter=1)
    with pytest.raises(TypeError, match="X is float32 but the atoms are float64"):
        getattr(learner.fit(X), call)(X.astype("float32"))
    with pytest.raises(ValueError, match="random_state must be an integer"):
        learner.set_params(random_state=-1).fit(X)
