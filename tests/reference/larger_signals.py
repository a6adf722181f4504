"""Problems on signals of more than 1024 codes: a series, pictures in colour, a volume."""

import csc


def one_channel(rng):
    """Two series, some samples not observed."""
    x = rng.standard_normal((2, 1, 200))
    return x, rng.standard_normal((6, 1, 9)), {}, (rng.random(x.shape) > 0.2).astype(x.dtype)


def colour(rng):
    return (
        rng.standard_normal((2, 3, 15, 17)),
        rng.standard_normal((6, 3, 3, 4)),
        {"mode": "circular"},
        None,
    )


def volume(rng):
    x = rng.standard_normal((1, 2, 14, 12, 13))[..., ::-1]  # not contiguous
    return x, rng.standard_normal((6, 2, 3, 2, 3)), {"mode": "same", "stride": (2, 2, 1)}, None


def problem_of(make, penalty, rng, dtype="float64"):
    x, atoms, where, mask = make(rng)
    atoms = csc.constraints.UnitSphere().project(atoms).astype(dtype)
    return csc.Problem(x.astype(dtype), csc.Dictionary(atoms, **where), penalty, mask)
