// Shared by all convolution kernels: index arithmetic, and a tiled product of matrices.
//
// Each map is a product of two matrices that are never stored. A block of threads computes a tile of
// the product; a thread holds VALUES_PER_THREAD rows times WIDE columns of it in registers, so that
// 16 loads from shared memory are used in 64 multiply-adds. DEPTH columns of the left and rows of the
// right matrix are in shared memory at a time. Columns of neighbouring threads are neighbours: there
// are no bank conflicts, and writes are contiguous. The order of the sums depends only on
// the shapes: every run gives the same numbers.

typedef long long Offset;  // flat indices: arrays may hold more than 2^31 numbers

const int DEPTH = 8;  // the constants of csc.kernels._constants are declared before this file

struct Shape {  // as `launch.SHAPE`
    int signals, atoms, channels;
    int positions[3], signal_shape[3], samples[3], stride[3];  // V, S, s, t
};

template <typename N> __device__ inline N minimum(N a, N b) { return a < b ? a : b; }
template <typename N> __device__ inline N maximum(N a, N b) { return a > b ? a : b; }

__device__ inline Offset positions_of(const Shape &g) {  // positions in a signal
    return (Offset)g.positions[0] * g.positions[1] * g.positions[2];
}

__device__ inline int extent_of(const Shape &g) {  // samples of an atom in a channel
    return g.samples[0] * g.samples[1] * g.samples[2];
}

// The first sample under an atom at flat position j = ((n V0 + v0) V1 + v1) V2 + v2.
__device__ inline Offset sample_of(const Shape &g, Offset j) {
    Offset v2 = j % g.positions[2], row = j / g.positions[2];
    Offset v1 = row % g.positions[1], plane = row / g.positions[1];
    Offset v0 = plane % g.positions[0], n = plane / g.positions[0];
    Offset slab = n * g.channels * g.signal_shape[0] + v0 * g.stride[0];
    return (slab * g.signal_shape[1] + v1 * g.stride[1]) * g.signal_shape[2] + v2 * g.stride[2];
}

// The code of the first atom at flat position j.
__device__ inline Offset code_of(const Shape &g, Offset j) {
    Offset v = positions_of(g);
    return j / v * v * g.atoms + j % v;
}

// Offset in a signal of sample p = ((c s0 + l0) s1 + l1) s2 + l2 of an atom from its first sample.
__device__ inline Offset offset_of(const Shape &g, int p) {
    int l2 = p % g.samples[2], row = p / g.samples[2];
    int l1 = row % g.samples[1], plane = row / g.samples[1];
    int l0 = plane % g.samples[0], c = plane / g.samples[0];
    return (((Offset)c * g.signal_shape[0] + l0) * g.signal_shape[1] + l1) * g.signal_shape[2] + l2;
}

template <typename T, int ROWS, int WIDE> struct Tile {
    static const int ACROSS = THREADS_PER_BLOCK / ROWS, HEIGHT = ROWS * VALUES_PER_THREAD;
    static const int WIDTH = ACROSS * WIDE;
    T left[DEPTH][HEIGHT + 4];  // 4 apart: a warp that fills it meets each bank once
    T right[DEPTH][WIDTH];

    static __device__ int row(int a) { return threadIdx.x / ACROSS * VALUES_PER_THREAD + a; }
    static __device__ int column(int i) { return threadIdx.x % ACROSS + ACROSS * i; }

    // sums[a][i] = sum_{p < depth} left(p, row(a)) right(p, column(i)). Before each DEPTH of them
    // ``turn`` may store in shared memory what the two functions need.
    template <typename Matrices>
    __device__ void multiply(const Matrices &matrices, int depth,
                             T (&sums)[VALUES_PER_THREAD][WIDE]) {
        for (int a = 0; a < VALUES_PER_THREAD; a++)
            for (int i = 0; i < WIDE; i++) sums[a][i] = 0;
        for (int first = 0; first < depth; first += DEPTH) {
            matrices.turn(first);
            __syncthreads();  // all threads have finished the previous tile
            for (int i = threadIdx.x; i < DEPTH * HEIGHT; i += THREADS_PER_BLOCK) {
                int p = matrices.rows_first ? i / HEIGHT : i % DEPTH;
                int row = matrices.rows_first ? i % HEIGHT : i / DEPTH;
                left[p][row] = first + p < depth ? matrices.left(first, p, row) : (T)0;
            }
            for (int i = threadIdx.x; i < DEPTH * WIDTH; i += THREADS_PER_BLOCK) {
                int p = i / WIDTH, column = i % WIDTH;
                right[p][column] = first + p < depth ? matrices.right(first, p, column) : (T)0;
            }
            __syncthreads();
#pragma unroll
            for (int p = 0; p < DEPTH; p++) {
                T a[VALUES_PER_THREAD], b[WIDE];
#pragma unroll
                for (int j = 0; j < VALUES_PER_THREAD; j++) a[j] = left[p][row(j)];
#pragma unroll
                for (int i = 0; i < WIDE; i++) b[i] = right[p][column(i)];
#pragma unroll
                for (int j = 0; j < VALUES_PER_THREAD; j++)
#pragma unroll
                    for (int i = 0; i < WIDE; i++) sums[j][i] += a[j] * b[i];
            }
        }
        __syncthreads();
    }
};
