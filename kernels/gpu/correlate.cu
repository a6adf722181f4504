// Correlation of signals with atoms, D^T x, and functions of it that need not store it.
//
// Left matrix: the atoms, one per row. Right: the patches of the signal, one per column.

template <typename T> struct Correlation {
    const T *x, *atoms;
    const Shape &g;
    int first_atom, depth;
    const Offset *under;  // offset of the patch of each column
    Offset *offsets;  // offsets within a patch of the samples of this step

    static const bool rows_first = false;

    __device__ void turn(int first) const {
        if (threadIdx.x < DEPTH && first + (int)threadIdx.x < depth)
            offsets[threadIdx.x] = offset_of(g, first + threadIdx.x);
    }
    __device__ T left(int first, int p, int row) const {
        int k = first_atom + row;
        return k < g.atoms ? atoms[(Offset)k * depth + first + p] : (T)0;
    }
    __device__ T right(int, int p, int column) const { return x[under[column] + offsets[p]]; }
};

// Correlations of HEIGHT atoms with WIDTH patches, from position ``first`` on.
template <typename T, int ROWS>
__device__ void correlations(const T *x, const T *atoms, const Shape &g, int first_atom,
                             Offset first, Tile<T, ROWS, VALUES_PER_THREAD> &tile,
                             T (&sums)[VALUES_PER_THREAD][VALUES_PER_THREAD]) {
    __shared__ Offset under[Tile<T, ROWS, VALUES_PER_THREAD>::WIDTH], offsets[DEPTH];
    Offset last = g.signals * positions_of(g) - 1;
    for (int i = threadIdx.x; i < tile.WIDTH; i += THREADS_PER_BLOCK)
        under[i] = sample_of(g, minimum(first + i, last));  // past the end: any valid patch
    Correlation<T> matrices = {x, atoms, g, first_atom, g.channels * extent_of(g), under, offsets};
    tile.multiply(matrices, matrices.depth, sums);
}

template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS_PER_BLOCK)
correlate(const T *x, const T *atoms, Shape g, T *out) {
    __shared__ Tile<T, ROWS, VALUES_PER_THREAD> tile;
    T sums[VALUES_PER_THREAD][VALUES_PER_THREAD];
    Offset first = (Offset)blockIdx.x * tile.WIDTH, count = g.signals * positions_of(g);
    int first_atom = blockIdx.y * tile.HEIGHT;
    correlations<T, ROWS>(x, atoms, g, first_atom, first, tile, sums);
#pragma unroll
    for (int i = 0; i < VALUES_PER_THREAD; i++) {
        Offset j = first + tile.column(i);
        if (j >= count) continue;
        T *code = out + code_of(g, j);
#pragma unroll
        for (int a = 0; a < VALUES_PER_THREAD; a++)
            if (first_atom + tile.row(a) < g.atoms)
                code[(first_atom + tile.row(a)) * positions_of(g)] = sums[a][i];
    }
}

// The largest correlation at each position, of atoms that were divided by their lmbda.
template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS_PER_BLOCK)
dual_infeasibility(const T *x, const T *atoms, Shape g, int positive, T *out) {
    __shared__ Tile<T, ROWS, VALUES_PER_THREAD> tile;
    T sums[VALUES_PER_THREAD][VALUES_PER_THREAD], top[VALUES_PER_THREAD];
    Offset first = (Offset)blockIdx.x * tile.WIDTH, count = g.signals * positions_of(g);
    for (int i = 0; i < VALUES_PER_THREAD; i++) top[i] = 0;
    for (int first_atom = 0; first_atom < g.atoms; first_atom += tile.HEIGHT) {
        correlations<T, ROWS>(x, atoms, g, first_atom, first, tile, sums);
        for (int a = 0; a < VALUES_PER_THREAD; a++)
            for (int i = 0; i < VALUES_PER_THREAD; i++)
                top[i] = maximum(top[i], maximum(sums[a][i], positive ? (T)0 : -sums[a][i]));
    }
    int group = threadIdx.x / tile.ACROSS;  // ROWS <= DEPTH groups have compared other atoms
    for (int i = 0; i < VALUES_PER_THREAD; i++) tile.right[group][tile.column(i)] = top[i];
    __syncthreads();
    for (int column = threadIdx.x; column < tile.WIDTH; column += THREADS_PER_BLOCK) {
        T largest = 0;
        for (int row = 0; row < ROWS; row++) largest = maximum(largest, tile.right[row][column]);
        if (first + column < count) out[first + column] = largest;
    }
}

// A proximal-gradient step while the correlations are in registers; the CPU kernel has the formula.
template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS_PER_BLOCK)
proximal_step(const T *r, const T *atoms, Shape g, const T *z, const T *z_old,
              const double *momentum, const T *thresholds, const double *factor, T negative_sign,
              T *out, double *restart_score) {
    __shared__ Tile<T, ROWS, VALUES_PER_THREAD> tile;
    __shared__ double parts[THREADS_PER_BLOCK];
    T sums[VALUES_PER_THREAD][VALUES_PER_THREAD], total = 0;
    T momentum_value = (T)*momentum, factor_value = (T)*factor;
    Offset first = (Offset)blockIdx.x * tile.WIDTH, count = g.signals * positions_of(g);
    int first_atom = blockIdx.y * tile.HEIGHT;
    correlations<T, ROWS>(r, atoms, g, first_atom, first, tile, sums);
#pragma unroll
    for (int i = 0; i < VALUES_PER_THREAD; i++) {
        Offset j = first + tile.column(i), at = code_of(g, minimum(j, count - 1));
#pragma unroll
        for (int a = 0; a < VALUES_PER_THREAD; a++) {
            int k = first_atom + tile.row(a);
            if (j >= count || k >= g.atoms) continue;
            Offset here = at + k * positions_of(g);
            T code = z[here], y = code + momentum_value * (code - z_old[here]), v = y + sums[a][i];
            T threshold = thresholds[k];
            T up = maximum(v - threshold, (T)0), down = minimum(v + threshold, (T)0);
            T next = factor_value * (up + negative_sign * down);
            total += (y - next) * (next - code);
            out[here] = next;
        }
    }
    parts[threadIdx.x] = total;
    for (int half = THREADS_PER_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) restart_score[(Offset)blockIdx.y * gridDim.x + blockIdx.x] = parts[0];
}
