"""Numbers on which several kernels, or kernels and their callers, must agree. Imports nothing."""

# Numbers per vector: rows of padded atoms, and of padded patches in groups, are multiples.
SIMD_WIDTH = 8
TILE_POSITIONS_PER_STEP = 16  # loops over a tile run over multiples, so need no remainder
# Rows of a tile lie this far apart. 64 atoms of 8 x 8 on 256 x 256, one core: 6.6 ms with 384,
# 7.2 ms with 512, where the eight rows that a product reads compete for the same cache sets.
TILE_POSITIONS = 384

SUMS_PER_BLOCK = 64  # batch-last convolution: neighbouring numbers of a row that are summed at once
ROWS_PER_GROUP = 4  # batch-last convolution: rows that share a list of offsets if few terms are 0

# The exact lasso: an atom is selected for the active set if its dual infeasibility exceeds 1 by
# this fraction of the largest excess, and enters if it still exceeds 1 by the second when its turn
# comes.
SELECT_FRACTION = 0.4
ENTER_FRACTION = 0.2

GPU_CONSTANTS = {  # named in the CUDA sources
    "THREADS_PER_BLOCK": 128,
    "VALUES_PER_THREAD": 8,  # rows, and columns, of a product that a thread holds in registers
    "THREADS_PER_WARP": 32,
    "POSITIONS_PER_SUM": 1024,  # summed in the precision of the signals; these sums in float64
    "SELECT_FRACTION": SELECT_FRACTION,
    "ENTER_FRACTION": ENTER_FRACTION,
}


def cuda_declarations():
    """C++ declarations of `GPU_CONSTANTS`, which precede every CUDA source."""
    kinds = {int: "int", float: "double"}
    return "".join(f"const {kinds[type(v)]} {name} = {v!r};\n" for name, v in GPU_CONSTANTS.items())
