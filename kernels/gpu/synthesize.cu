// Synthesis of signals from codes.
//
// A block computes a box of positions and some channels. Left matrix: the samples of the atoms, one
// per row; right matrix: the codes, one position per column. The product holds the contribution of
// each position to each sample it covers; every thread sums the contributions to its samples of the
// region under the box. Regions overlap, so they are stored separately and a second kernel adds them
// in a fixed order, without atomics.

struct Boxes {  // as `conv.BOXES`
    int positions[3], numbers[3], regions[3];  // per box; boxes per axis; samples under a box
    int channels, groups;  // channels per block; blocks that cover all channels
};

template <typename T> struct Synthesis {
    const T *z, *atoms;
    const Shape &g;
    int first_sample, last_sample;  // rows
    const Offset *codes;  // of each column, -1 beyond the last position

    static const bool rows_first = true;

    __device__ void turn(int) const {}
    __device__ T left(int first, int k, int row) const {
        int p = first_sample + row;
        if (p >= last_sample) return 0;
        return atoms[(Offset)(first + k) * g.channels * extent_of(g) + p];
    }
    __device__ T right(int first, int k, int column) const {
        Offset code = codes[column];
        return code < 0 ? (T)0 : z[code + (first + k) * positions_of(g)];
    }
};

// Offsets of the codes of a box; returns the index of the signal.
__device__ inline int place_box(const Shape &g, const Boxes &b, Offset box, int size,
                                Offset *codes) {
    int i2 = box % b.numbers[2], i1 = box / b.numbers[2] % b.numbers[1];
    Offset rest = box / b.numbers[2] / b.numbers[1];
    int i0 = rest % b.numbers[0], n = rest / b.numbers[0];
    for (int i = threadIdx.x; i < size; i += THREADS_PER_BLOCK) {
        int v2 = i2 * b.positions[2] + i % b.positions[2], row = i / b.positions[2];
        int v1 = i1 * b.positions[1] + row % b.positions[1];
        int v0 = i0 * b.positions[0] + row / b.positions[1];
        bool inside = v0 < g.positions[0] && v1 < g.positions[1] && v2 < g.positions[2];
        Offset v = ((Offset)v0 * g.positions[1] + v1) * g.positions[2] + v2;
        codes[i] = inside ? n * positions_of(g) * g.atoms + v : -1;
    }
    return n;
}

// Contribution of rows ``first`` to ``last`` of the product to one sample of the region.
template <typename T>
__device__ T gathered(const Shape &g, const Boxes &b, const T *product, int width, int channel,
                      int first, int last, int cell) {
    int u[3], low[3], high[3];
    u[2] = cell % b.regions[2];
    u[1] = cell / b.regions[2] % b.regions[1];
    u[0] = cell / b.regions[2] / b.regions[1];
    for (int a = 0; a < 3; a++) {  // samples l of an atom whose position (u - l) / t is in the box
        int t = g.stride[a], far = u[a] - (b.positions[a] - 1) * t;
        low[a] = far > 0 ? far : u[a] % t;
        high[a] = minimum(u[a], g.samples[a] - 1);
    }
    T total = 0;
    for (int l0 = low[0]; l0 <= high[0]; l0 += g.stride[0])
        for (int l1 = low[1]; l1 <= high[1]; l1 += g.stride[1]) {
            int v0 = (u[0] - l0) / g.stride[0], v1 = (u[1] - l1) / g.stride[1];
            int v2 = (u[2] - low[2]) / g.stride[2];
            int p = ((channel * g.samples[0] + l0) * g.samples[1] + l1) * g.samples[2] + low[2];
            int column = (v0 * b.positions[1] + v1) * b.positions[2] + v2;
            for (int l2 = low[2]; l2 <= high[2]; l2 += g.stride[2], p += g.stride[2], column--)
                if (p >= first && p < last) total += product[(p - first) * width + column];
        }
    return total;
}

template <typename T, int ROWS>
__global__ void __launch_bounds__(THREADS_PER_BLOCK)
synthesize(const T *z, const T *atoms, Shape g, Boxes b, T *regions) {
    // so that the product fits into shared memory
    const int WIDE = sizeof(T) == 8 ? VALUES_PER_THREAD / 2 : VALUES_PER_THREAD;
    typedef Tile<T, ROWS, WIDE> Tiles;
    const int HEIGHT = Tiles::HEIGHT, WIDTH = Tiles::WIDTH;
    __shared__ union {  // the factors, then their product
        Tiles tile;
        T product[HEIGHT * WIDTH];
    } shared;
    __shared__ Offset codes[WIDTH];
    Tiles &tile = shared.tile;
    T *product = shared.product;
    T sums[VALUES_PER_THREAD][WIDE];
    int n = place_box(g, b, blockIdx.x, WIDTH, codes), extent = extent_of(g);
    int channel = blockIdx.y * b.channels, end = minimum(channel + b.channels, g.channels) * extent;
    int cells = b.regions[0] * b.regions[1] * b.regions[2];
    T *region = regions + ((Offset)blockIdx.x * b.groups + blockIdx.y) * b.channels * cells;
    for (int first = channel * extent; first < end; first += HEIGHT) {
        int last = minimum(first + HEIGHT, end);
        Synthesis<T> matrices = {z, atoms, g, first, last, codes};
        tile.multiply(matrices, n < g.signals ? g.atoms : 0, sums);
#pragma unroll
        for (int a = 0; a < VALUES_PER_THREAD; a++)
#pragma unroll
            for (int i = 0; i < WIDE; i++)
                product[tile.row(a) * WIDTH + tile.column(i)] = sums[a][i];
        __syncthreads();
        for (int i = threadIdx.x; i < b.channels * cells; i += THREADS_PER_BLOCK) {
            int c = channel + i / cells;
            T more = gathered(g, b, product, WIDTH, c, first, last, i % cells);
            region[i] = first == channel * extent ? more : region[i] + more;
        }
        __syncthreads();
    }
}

// Sum the regions that contain each sample.
template <typename T>
__global__ void __launch_bounds__(THREADS_PER_BLOCK)
add_regions(const T *regions, Shape g, Boxes b, T *out) {
    Offset i = (Offset)blockIdx.x * THREADS_PER_BLOCK + threadIdx.x, rest = i;
    int low[3], high[3], u[3];
    for (int a = 2; a >= 0; a--) {
        int step = b.positions[a] * g.stride[a];
        u[a] = rest % g.signal_shape[a];
        rest /= g.signal_shape[a];
        int before = u[a] - b.regions[a] + 1;  // regions that begin earlier do not reach the sample
        low[a] = before > 0 ? (before + step - 1) / step : 0;
        high[a] = minimum(u[a] / step, b.numbers[a] - 1);
    }
    int c = rest % g.channels, n = rest / g.channels;
    if (n >= g.signals) return;
    Offset cells = (Offset)b.regions[0] * b.regions[1] * b.regions[2];
    T total = 0;
    for (int i0 = low[0]; i0 <= high[0]; i0++)
        for (int i1 = low[1]; i1 <= high[1]; i1++)
            for (int i2 = low[2]; i2 <= high[2]; i2++) {
                Offset box = ((Offset)n * b.numbers[0] + i0) * b.numbers[1] + i1;
                box = box * b.numbers[2] + i2;
                Offset group = box * b.groups + c / b.channels;
                Offset at = (group * b.channels + c % b.channels) * cells;
                int r0 = u[0] - i0 * b.positions[0] * g.stride[0];
                int r1 = u[1] - i1 * b.positions[1] * g.stride[1];
                int r2 = u[2] - i2 * b.positions[2] * g.stride[2];
                total += regions[at + ((Offset)r0 * b.regions[1] + r1) * b.regions[2] + r2];
            }
    out[i] = total;
}
