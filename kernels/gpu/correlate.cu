// Correlation of signals with atoms, D^T x, and what is done with it before it is stored.
//
// Left matrix: the atoms, one a row. Right: the patches of the signal, one a column.

template <typename T> struct Correlation {
    const T *x, *atoms;
    const Shape &g;
    int first_atom, depth;
    const Place *under;  // where each column's patch begins
    Place *offsets;  // where the samples of this turn lie in a patch

    static const bool rows_first = false;

    __device__ void turn(int first) const {
        if (threadIdx.x < DEPTH && first + (int)threadIdx.x < depth)
            offsets[threadIdx.x] = offset_of(g, first + threadIdx.x);
    }
    __device__ T left(int first, int p, int row) const {
        int k = first_atom + row;
        return k < g.atoms ? atoms[(Place)k * depth + first + p] : (T)0;
    }
    __device__ T right(int, int p, int column) const { return x[under[column] + offsets[p]]; }
};

// Correlations of HEIGHT atoms with WIDTH patches, from position ``first`` on.
template <typename T, int ROWS>
__device__ void correlations(const T *x, const T *atoms, const Shape &g, int first_atom, Place first,
                             Tile<T, ROWS, REACH> &tile, T (&sums)[REACH][REACH]) {
    __shared__ Place under[Tile<T, ROWS, REACH>::WIDTH], offsets[DEPTH];
    Place last = g.signals * places_of(g) - 1;
    for (int i = threadIdx.x; i < tile.WIDTH; i += THREADS)
        under[i] = sample_of(g, least(first + i, last));  // beyond the last: any patch will do
    Correlation<T> matrices = {x, atoms, g, first_atom, g.channels * extent_of(g), under, offsets};
    tile.multiply(matrices, matrices.depth, sums);
}

template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS) correlate(const T *x, const T *atoms, Shape g, T *out) {
    __shared__ Tile<T, ROWS, REACH> tile;
    T sums[REACH][REACH];
    Place first = (Place)blockIdx.x * tile.WIDTH, count = g.signals * places_of(g);
    int first_atom = blockIdx.y * tile.HEIGHT;
    correlations<T, ROWS>(x, atoms, g, first_atom, first, tile, sums);
#pragma unroll
    for (int i = 0; i < REACH; i++) {
        Place j = first + tile.column(i);
        if (j >= count) continue;
        T *code = out + code_of(g, j);
#pragma unroll
        for (int a = 0; a < REACH; a++)
            if (first_atom + tile.row(a) < g.atoms)
                code[(first_atom + tile.row(a)) * places_of(g)] = sums[a][i];
    }
}

// The largest correlation at each position, of atoms that were divided by their prices.
template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS)
excess(const T *x, const T *atoms, Shape g, int positive, T *out) {
    __shared__ Tile<T, ROWS, REACH> tile;
    T sums[REACH][REACH], top[REACH];
    Place first = (Place)blockIdx.x * tile.WIDTH, count = g.signals * places_of(g);
    for (int i = 0; i < REACH; i++) top[i] = 0;
    for (int first_atom = 0; first_atom < g.atoms; first_atom += tile.HEIGHT) {
        correlations<T, ROWS>(x, atoms, g, first_atom, first, tile, sums);
        for (int a = 0; a < REACH; a++)
            for (int i = 0; i < REACH; i++)
                top[i] = most(top[i], most(sums[a][i], positive ? (T)0 : -sums[a][i]));
    }
    int group = threadIdx.x / tile.ACROSS;  // ROWS <= DEPTH groups have looked at other atoms
    for (int i = 0; i < REACH; i++) tile.right[group][tile.column(i)] = top[i];
    __syncthreads();
    for (int column = threadIdx.x; column < tile.WIDTH; column += THREADS) {
        T worst = 0;
        for (int row = 0; row < ROWS; row++) worst = most(worst, tile.right[row][column]);
        if (first + column < count) out[first + column] = worst;
    }
}

// A proximal-gradient step while the correlations are in registers; see the twin for the formula.
template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS)
proximal_step(const T *r, const T *atoms, Shape g, const T *z, const T *z_old, const double *momentum,
              const T *thresholds, const double *factor, T mirror, T *out, double *uphill) {
    __shared__ Tile<T, ROWS, REACH> tile;
    __shared__ double parts[THREADS];
    T sums[REACH][REACH], total = 0, push = (T)*momentum, shorten = (T)*factor;
    Place first = (Place)blockIdx.x * tile.WIDTH, count = g.signals * places_of(g);
    int first_atom = blockIdx.y * tile.HEIGHT;
    correlations<T, ROWS>(r, atoms, g, first_atom, first, tile, sums);
#pragma unroll
    for (int i = 0; i < REACH; i++) {
        Place j = first + tile.column(i), at = code_of(g, least(j, count - 1));
#pragma unroll
        for (int a = 0; a < REACH; a++) {
            int k = first_atom + tile.row(a);
            if (j >= count || k >= g.atoms) continue;
            Place here = at + k * places_of(g);
            T code = z[here], y = code + push * (code - z_old[here]), v = y + sums[a][i];
            T threshold = thresholds[k];
            T up = most(v - threshold, (T)0), down = least(v + threshold, (T)0);
            T next = shorten * (up + mirror * down);
            total += (y - next) * (next - code);
            out[here] = next;
        }
    }
    parts[threadIdx.x] = total;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) uphill[(Place)blockIdx.y * gridDim.x + blockIdx.x] = parts[0];
}
