"""Learning of all layers, transcribed with dense matrices: one signal a column, no statistics."""

import numpy as np

from reference.lasso import synthesis_matrix


def dense(layers, spatial_shape, mode, strides):
    """Dense D_i of all layers for signals of this spatial shape."""
    out = []
    for d, stride in zip(layers, strides, strict=True):
        out.append(synthesis_matrix(d, spatial_shape, mode, stride))
        if mode == "circular":
            spatial_shape = tuple(S // t for S, t in zip(spatial_shape, stride, strict=True))
        else:
            axes = zip(spatial_shape, d.shape[2:], stride, strict=True)
            spatial_shape = tuple((S - s) // t + 1 for S, s, t in axes)
    return out


def codes_of(matrices, z):
    """g_0 = D_1 ... D_L z, ..., g_L = z."""
    codes = [z]
    for D in reversed(matrices):
        codes.insert(0, D @ codes[0])
    return codes


def value(layers, x, z, lmbdas, model):
    """Mean objective per signal without the penalty of the deepest codes; x, z: columns."""
    fit, *codes = codes_of(dense(layers, *model), z)
    penalty = sum(lm * abs(g).sum() for lm, g in zip(lmbdas, codes[:-1], strict=False))
    return (0.5 * ((x - fit) ** 2).sum() + penalty) / x.shape[1]


def slope(layers, x, z, lmbdas, model, i):
    """Derivative of `value` for every number of the atoms of layer i, one at a time."""
    D = dense(layers, *model)
    fit, *codes = codes_of(D, z)
    deeper = codes[i]  # D_{i+1} of layers counted from 0 makes codes[i - 1] of it
    out = np.zeros(layers[i].shape)
    for place in np.ndindex(*out.shape):
        unit = np.zeros(out.shape)
        unit[place] = 1
        moved = dense([*layers[:i], unit, *layers[i + 1 :]], *model)[i] @ deeper
        for j in range(i - 1, -1, -1):  # moved is the change of the codes of layer j
            out[place] += lmbdas[j] * (np.sign(codes[j]) * moved).sum()
            moved = D[j] @ moved
        out[place] -= ((x - fit) * moved).sum()
    return out / x.shape[1]


def energies(layers, z, model, i):
    """Mean energy per signal of the codes of each atom of layer i."""
    g = codes_of(dense(layers, *model), z)[i + 1]
    return (g.reshape(len(layers[i]), -1, z.shape[1]) ** 2).sum(axis=(1, 2)) / z.shape[1]


def keep_largest(atoms, count):
    """The ``count`` largest values of each atom, the atom then divided by its norm."""
    out = np.zeros_like(atoms)
    for k, atom in enumerate(atoms):
        places = sorted(np.ndindex(*atom.shape), key=lambda p: -abs(atom[p]))[:count]
        norm = np.sqrt(sum(atom[place] ** 2 for place in places))
        for place in places:
            out[(k, *place)] = atom[place] / norm
    return out


def unit_ball(atoms):
    norms = np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))
    return atoms / np.maximum(norms, 1)


def descend(layers, x, z, lmbdas, model, counts, passes, rate):  # noqa: PLR0913
    """Projected gradient steps with backtracking on one layer after the other."""
    layers, rates = list(layers), [rate] * len(layers)
    for _ in range(passes):
        for i in range(len(layers)):
            d, now = layers[i], value(layers, x, z, lmbdas, model)
            g, u = slope(layers, x, z, lmbdas, model, i), energies(layers, z, model, i)
            u = np.maximum(u, 1e-3 * u.max()).reshape(-1, *(1,) * (d.ndim - 1))
            for _ in range(12):
                step = d - rates[i] / u * g
                new = unit_ball(step) if i == 0 else keep_largest(step, counts[i - 1])
                move = new - d
                promised = (g * move).sum() + (u * move**2).sum() / (2 * rates[i])
                tried = [*layers[:i], new, *layers[i + 1 :]]
                if value(tried, x, z, lmbdas, model) <= now + min(promised, 0):
                    layers, rates[i] = tried, 1.5 * rates[i]
                    break
                rates[i] /= 2
    return layers
