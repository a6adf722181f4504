"""Networks of unrolled pursuits take the steps of the multi-layer solvers."""

import numpy as np
import pytest

import csc

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'mlcsc[torch]'")

# Of each layer: shape (K, C, *s) of the atoms, mode, stride; and the spatial shape of the signals.
STACKS = {
    "images": ([((3, 1, 4, 4), "full", 2), ((4, 3, 2, 3), "full", 1)], (9, 11)),
    "modes": ([((3, 2, 4), "same", 2), ((6, 3, 3), "valid", 1), ((2, 6, 3), "circular", 1)], (9,)),
    "one atom in 3-D": ([((1, 1, 2, 2, 2), "full", 1)], (4, 3, 4)),
}


def stack(name, rng, dtype="float64"):
    layers, spatial_shape = STACKS[name]
    unit = csc.constraints.UnitSphere().project
    layers = [
        csc.Dictionary(unit(rng.standard_normal(shape)).astype(dtype), mode, stride)
        for shape, mode, stride in layers
    ]
    x = rng.standard_normal((2, layers[0].atoms.shape[1], *spatial_shape)).astype(dtype)
    return csc.MultiLayerDictionary(layers), torch.from_numpy(x)


def lmbdas_of(D, rng):
    return [rng.uniform(0.02, 0.1, layer.n_atoms) for layer in D.layers]


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("accelerated", [False, True], ids=["ML-ISTA", "ML-FISTA"])
def test_joint_codes_are_those_of_the_solver(name, accelerated, dtype, rng):
    D, x = stack(name, rng, dtype)
    positive = not accelerated
    module = csc.nn.from_dictionary(
        D, lmbdas_of(D, rng), 5, accelerated=accelerated, positive=positive
    )
    with torch.no_grad():
        module.log_step_sizes += torch.linspace(-0.1, 0.1, len(D))  # learned
    problem, solver = module.problem(x), module.solver()
    state = solver.init(problem, problem.zeros())
    for _ in range(5):
        state = solver.step(problem, state)
    codes = module(x)
    assert {z.dtype for z in codes} == {x.dtype}
    for z, expected in zip(codes, state.z, strict=True):
        found = z.detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == "float32" else 1e-12)
        assert (found != 0).any()
    back = module.reconstruct(x).detach().numpy()
    np.testing.assert_allclose(back, problem.reconstruct(state.z), atol=1e-5)


@pytest.mark.parametrize("accelerated", [False, True], ids=["ISTA", "FISTA"])
def test_layered_codes_are_those_of_one_layer_after_the_other(accelerated, rng):
    D, x = stack("modes", rng)
    module = csc.nn.MultiLayerPursuit(
        D, lmbdas_of(D, rng), 3, joint=False, accelerated=accelerated, unit_norm=False
    )
    below = x
    for own, layer, lmbda in zip(module(x), D.layers, module.lmbdas, strict=True):
        alone = csc.nn.from_dictionary(layer, lmbda.detach(), 4, accelerated=accelerated)
        below = alone(below)
        torch.testing.assert_close(own, below)
    with pytest.raises(ValueError, match="joint=False"):
        module.solver()


@pytest.mark.parametrize("joint", [True, False])
def test_without_unfoldings_it_is_the_forward_pass_of_a_network(joint, rng):
    D, x = stack("images", rng)
    module = csc.nn.MultiLayerPursuit(D, [0.1, 0.05], joint=joint, positive=True)
    first, second = module.step_sizes.tolist()
    network = csc.interop.to_torch(
        csc.MultiLayerDictionary(
            csc.Dictionary(mu * layer.atoms, layer.mode, layer.stride)
            for mu, layer in zip((first, second), D.layers, strict=True)
        ),
        [first * 0.1, (first if joint else 1) * second * 0.05],
    )
    torch.testing.assert_close(module(x)[-1], network(x))


def test_gradients_are_those_of_finite_differences(rng):
    D, x = stack("images", rng)
    module = csc.nn.MultiLayerPursuit(D, [0.05, 0.05], 2, accelerated=True)
    names = [name for name, _ in module.named_parameters()]
    assert len(names) == 5

    def codes(x, *parameters):
        parameters = dict(zip(names, parameters, strict=True))
        return tuple(torch.func.functional_call(module, parameters, (x,)))

    inputs = [x[:1], *(p.detach().clone() for p in module.parameters())]
    inputs = [a.requires_grad_() for a in inputs]
    assert torch.autograd.gradcheck(codes, inputs, fast_mode=True)


def test_unfoldings_add_no_parameters_and_states_fit(rng):
    D, x = stack("images", rng, "float32")
    deep = csc.nn.MultiLayerPursuit(D, [0.1, 0.1], 6)
    shallow = csc.nn.MultiLayerPursuit(stack("images", rng, "float32")[0], [0.2, 0.1], 0)
    shallow.load_state_dict(deep.state_dict())
    shallow.n_unfoldings = 6
    torch.testing.assert_close(shallow(x)[-1], deep(x)[-1], rtol=0, atol=0)


def test_wrong_arguments_are_refused(rng):
    D, _ = stack("images", rng)
    with pytest.raises(TypeError, match=r"wrap the layers"):
        csc.nn.MultiLayerPursuit(D.layers[0], [0.1])
    with pytest.raises(ValueError, match="lmbdas must be one for each of the 2 layers, got 1"):
        csc.nn.MultiLayerPursuit(D, [0.1])
    with pytest.raises(ValueError, match=r"lmbdas\[1\] must be finite and > 0"):
        csc.nn.MultiLayerPursuit(D, [0.1, 0])
    with pytest.raises(ValueError, match="n_unfoldings must be >= 0"):
        csc.nn.MultiLayerPursuit(D, [0.1, 0.1], -1)
    with pytest.raises(ValueError, match="n_steps must be >= 1, got 0"):
        csc.nn.from_dictionary(D, [0.1, 0.1], 0)
    problem = csc.MultiLayerProblem(np.ones((1, 1, 9, 11)), D, [csc.L1(0.1), csc.L1(0.1)])
    with pytest.raises(ValueError, match="step_sizes must be one for each of the 2 layers, got 1"):
        csc.solve(problem, csc.solvers.MLISTA(step_sizes=[0.1]))
    with pytest.raises(ValueError, match="step_sizes must be > 0"):
        csc.solvers.MLFISTA(step_sizes=[0.1, 0.0])
