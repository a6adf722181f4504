"""Unrolled pursuits take the steps of the solvers, and their gradients are those of the steps."""

import numpy as np
import pytest

import csc
from reference.dictionary_kinds import KINDS, make

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")

ATOL = {"float32": 1e-5, "float64": 1e-12}


def after_steps(problem, solver, n):
    """Codes after n steps of a solver of `csc` from zero."""
    state = solver.init(problem, problem.zeros())
    for _ in range(n):
        state = solver.step(problem, state)
    return state.z


CASES = [(kind, "float64") for kind in KINDS]
CASES += [(kind, "float32") for kind in ("patch", "series", "full, channels, odd")]


@pytest.mark.parametrize(("kind", "dtype"), CASES)
@pytest.mark.parametrize(
    ("accelerated", "positive"), [(False, True), (True, False)], ids=["ISTA, positive", "FISTA"]
)
def test_codes_are_those_of_the_solver(kind, accelerated, positive, dtype, rng):
    D, x = make(kind, rng, dtype)
    lmbda = rng.uniform(0.05, 0.2, D.n_atoms)
    module = csc.nn.from_dictionary(D, lmbda, 6, accelerated=accelerated, positive=positive)
    with torch.no_grad():
        module.log_step_size += 0.1  # learned
    tensor = torch.from_numpy(x)
    codes = module(tensor)
    assert codes.dtype == getattr(torch, dtype)
    problem = module.problem(tensor)
    np.testing.assert_allclose(problem.penalty.weights.ravel(), lmbda, rtol=1e-6)
    found, expected = codes.detach().numpy(), after_steps(problem, module.solver(), 6)
    np.testing.assert_allclose(found, expected, atol=ATOL[dtype])
    assert (found != 0).any()
    back = module.reconstruct(tensor).detach().numpy()
    np.testing.assert_allclose(back, problem.reconstruct(expected), atol=10 * ATOL[dtype])


@pytest.mark.parametrize("kind", ["patch", "same, even", "series"])
@pytest.mark.parametrize("accelerated", [False, True])
def test_codes_without_gradients_are_the_same(kind, accelerated, dtype, rng, monkeypatch):
    D, x = make(kind, rng, dtype)
    module, x = csc.nn.SparseCode(D, 0.1, 6, accelerated=accelerated), torch.from_numpy(x)
    expected, calls = module(x).detach(), []
    by_solver = module._codes_of_solver
    monkeypatch.setattr(module, "_codes_of_solver", lambda x: calls.append(1) or by_solver(x))
    with torch.no_grad():
        codes = module(x)
    assert len(calls) == (0 if kind == "series" else 1)  # strides: not by the solver
    torch.testing.assert_close(codes, expected, rtol=0, atol=ATOL[dtype.name])
    x[0, 0, 0] = torch.nan  # no missing sample, as csc.Problem would take it
    with torch.no_grad(), pytest.raises(ValueError, match="holds NaN"):
        module(x)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("kind", ["series", "full, channels, odd"])
def test_gradients_are_those_of_finite_differences(kind, positive, rng):
    D, x = make(kind, rng, n=1)
    module = csc.nn.SparseCode(
        D, 0.1, 3, accelerated=True, free_analysis=True, per_step=True, positive=positive
    )
    names = [name for name, _ in module.named_parameters()]
    assert set(names) == {
        "log_lmbda", "log_step_size", "dictionary.raw_atoms", "analysis.raw_atoms",
    }  # fmt: skip

    def codes(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    inputs = [torch.from_numpy(x), *(p.detach().clone() for p in module.parameters())]
    inputs = [a.requires_grad_() for a in inputs]
    assert (codes(*inputs) != 0).any()
    assert torch.autograd.gradcheck(codes, inputs, fast_mode=True)


def test_lista_starts_as_ista_and_its_parameters_are_of_their_own(rng):
    D, x = make("series", rng)
    x = torch.from_numpy(x)
    plain = csc.nn.SparseCode(D, 0.1, 4)
    lista = csc.nn.SparseCode(D, 0.1, 4, free_analysis=True, per_step=True)
    torch.testing.assert_close(lista(x), plain(x))
    assert lista.lmbda.shape == (4, 3)
    assert lista.step_size.shape == (4,)
    with torch.no_grad():  # the second step alone, then the operator alone, changes codes
        lista.log_lmbda[1] += 1
        changed = lista(x)
        lista.log_lmbda[1] -= 1
        lista.analysis.raw_atoms *= 0.5
    assert not torch.allclose(changed, plain(x))
    assert not torch.allclose(lista(x), plain(x))
    with pytest.raises(ValueError, match="per_step=True has one lambda for each step"):
        lista.problem(x)
    with pytest.raises(ValueError, match="not those of a solver"):
        lista.solver()


def test_training_keeps_norms_and_signs_and_lowers_the_objective(rng):
    D, x = make("series", rng, "float32", n=8)
    module, x = csc.nn.SparseCode(D, 0.2, 5), torch.from_numpy(x)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.5)
    losses = []
    for _ in range(10):
        loss = (module.reconstruct(x) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert (module.lmbda > 0).all()
    norms = np.linalg.norm(module.to_dictionary().matrix, axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-6)
    assert not np.allclose(module.to_dictionary().atoms, D.atoms)


def test_state_and_copies_give_the_same_codes(rng, tmp_path):
    D, x = make("valid", rng, "float32")
    x, other = torch.from_numpy(x), make("valid", rng, "float32")[0]
    module = csc.nn.SparseCode(D, 0.1, free_analysis=True)
    loaded = csc.nn.SparseCode(other, 0.3, free_analysis=True)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.testing.assert_close(loaded(x), module(x), rtol=0, atol=0)
    torch.save(module, tmp_path / "module.pt")
    again = torch.load(tmp_path / "module.pt", weights_only=False)
    torch.testing.assert_close(again(x), module(x), rtol=0, atol=0)


def test_autocast_does_not_lower_the_precision(rng):
    D, x = make("series, valid, channels", rng, "float32")
    module, x = csc.nn.SparseCode(D, 0.1), torch.from_numpy(x)
    with torch.autocast("cpu", torch.bfloat16):
        codes = module(x)
        low = module(x.bfloat16())
    torch.testing.assert_close(codes, module(x), rtol=0, atol=0)
    torch.testing.assert_close(low, module(x.bfloat16().float()), rtol=0, atol=0)
    codes.sum().backward()


def test_shapes_are_known_without_memory():
    module = csc.nn.SparseCode(csc.nn.random_dictionary((3, 1, 4), stride=2), 0.1).to("meta")
    assert module(torch.zeros(2, 1, 12, device="meta")).shape == (2, 3, 5)


@pytest.mark.slow  # torch.compile takes seconds to load
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # its own
def test_it_compiles_in_one_graph(rng):
    D, x = make("same, even", rng, "float32")
    module, x = csc.nn.SparseCode(D, 0.1, 3, accelerated=True), torch.from_numpy(x)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x))


@pytest.mark.parametrize("unit_norm", [True, False])
def test_transforms_of_torch_func_give_the_gradients(unit_norm, rng):
    D, x = make("series", rng)
    module, x = csc.nn.SparseCode(D, 0.1, 3, unit_norm=unit_norm), torch.from_numpy(x)
    parameters = dict(module.named_parameters())

    def energy(parameters, x):
        return torch.func.functional_call(module, parameters, (x,)).square().sum()

    found, of_x = torch.func.grad(energy, argnums=(0, 1))(parameters, x)
    torch.testing.assert_close(torch.func.grad(lambda x: module(x).square().sum())(x), of_x)
    energy(parameters, x.requires_grad_()).backward()
    torch.testing.assert_close(of_x, x.grad)
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad)


def test_double_and_bfloat16_modules_follow_their_dtype(rng):
    D, x = make("series", rng, "float32")
    module, x = csc.nn.SparseCode(D, 0.1), torch.from_numpy(x)
    assert module.double()(x.double()).dtype == torch.float64
    assert module.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


WRONG = {
    "signals of NumPy": (lambda m: m(np.ones((1, 2, 12))), TypeError, "torch.as_tensor"),
    "no channels": (lambda m: m(torch.ones(1, 12).double()), ValueError, r"C = 2 and 1 spatial"),
    "channels": (lambda m: m(torch.ones(1, 3, 12).double()), ValueError, r"got \(1, 3, 12\)"),
    "precision": (lambda m: m(torch.ones(1, 2, 12)), TypeError, "float32 but the atoms are torch"),
    "integers": (lambda m: m(torch.ones(1, 2, 12, dtype=torch.int64)), TypeError, r"float64\)$"),
    "NaN": (
        lambda m: m(torch.full((1, 2, 12), torch.nan).double()),
        ValueError,
        "x holds NaN or inf",
    ),
    "no signal": (lambda m: m(torch.ones(0, 2, 12).double()), ValueError, "x is empty"),
    "small": (lambda m: m(torch.ones(1, 2, 3).double()), ValueError, "atoms of shape"),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_signals_are_refused(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(csc.nn.SparseCode(make("series", rng)[0], 0.1))
