// Exact lasso on patches, the algorithm of the CPU kernel. A block of one warp solves one signal.
// Its threads share every vector, and all of them make each decision, from the same numbers.

template <typename T> struct Signal {
    const T *gram, *q, *weights;
    int n;  // atoms
    bool both_signs;
    double energy, norm2;
    T *c, *lmbda, *priority;  // (n): D^T r; lmbda w; |c| / w of inactive atoms
    double *codes, *signs, *g, *u, *t, *carry;  // (n + 1) each, of active atoms
    double *factor;  // (n + 1) x (n + 1): F with F G_AA F^T = 1, lower triangular
    int *active, *selected;
    double *numbers;  // (THREADS_PER_WARP) shared
    int *places;  // (THREADS_PER_WARP) shared
    int m;  // number of active atoms

    __device__ int lane() const { return threadIdx.x; }
    __device__ double *row(int a) const { return factor + (Offset)a * (n + 1); }

    __device__ double sum(double part) const {
        __syncthreads();
        numbers[lane()] = part;
        __syncthreads();
        double total = 0;
        for (int i = 0; i < THREADS_PER_WARP; i++) total += numbers[i];
        return total;
    }

    // The minimum, the first one if several are equal; returns its index.
    __device__ int first_minimum(double *number, int place) const {
        __syncthreads();
        numbers[lane()] = *number;
        places[lane()] = place;
        __syncthreads();
        for (int i = 0; i < THREADS_PER_WARP; i++)
            if (numbers[i] < *number || (numbers[i] == *number && places[i] < place)) {
                *number = numbers[i];
                place = places[i];
            }
        return place;
    }

    __device__ void load_lmbda() {
        double limit = sizeof(T) == 8 ? 2.220446049250313e-16 : 1.1920928955078125e-07;
        double tiny = sizeof(T) == 8 ? 2.2250738585072014e-308 : 1.1754943508222875e-38;
        T floor = (T)maximum(8 * limit * sqrt(norm2 * energy), tiny);
        for (int k = lane(); k < n; k += THREADS_PER_WARP) lmbda[k] = maximum(weights[k], floor);
    }

    __device__ void read(const T *start) {
        m = 0;
        for (int k = 0; k < n; k++) {
            T z = start[k];
            if (z > 0 || (z < 0 && both_signs)) {
                if (lane() == 0) {
                    active[m] = k;
                    codes[m] = z;
                    signs[m] = z > 0 ? 1 : -1;
                }
                m++;
            }
        }
        __syncthreads();
    }

    // c = q - G_:A z_A
    __device__ void correlate() {
        for (int k = lane(); k < n; k += THREADS_PER_WARP) {
            T total = q[k];
            for (int a = 0; a < m; a++) total -= (T)codes[a] * gram[(Offset)active[a] * n + k];
            c[k] = total;
        }
        __syncthreads();
    }

    // The largest |c| / w, listed in ``priority``.
    __device__ double dual_infeasibility() {
        double top = 0;
        for (int k = lane(); k < n; k += THREADS_PER_WARP) {
            priority[k] = maximum(c[k], both_signs ? -c[k] : (T)0) * (1 / lmbda[k]);
            top = maximum(top, (double)priority[k]);
        }
        double lowest = -top;
        first_minimum(&lowest, 0);
        return -lowest;
    }

    __device__ void certify(double top, double *cost, double *gap) {
        double fit = 0, penalty_value = 0, removed = 0;
        for (int a = lane(); a < m; a += THREADS_PER_WARP) {
            int k = active[a];
            removed += codes[a] * ((double)q[k] + c[k]);
            penalty_value += fabs(codes[a]) * lmbda[k];
            fit += codes[a] * c[k];
            priority[k] = 0;
        }
        double half = 0.5 * maximum(energy - sum(removed), 0.0), shrink = 1 / maximum(top, 1.0);
        penalty_value = sum(penalty_value);
        *cost = half + penalty_value;
        *gap = maximum(half * (1 - shrink) * (1 - shrink) + penalty_value - shrink * sum(fit), 0.0);
    }

    // Empty the active set and set priorities, so its atoms enter again by decreasing codes.
    __device__ void warm_start() {
        for (int k = lane(); k < n; k += THREADS_PER_WARP) priority[k] = 0;
        __syncthreads();
        for (int a = lane(); a < m; a += THREADS_PER_WARP) {
            priority[active[a]] = fabs(codes[a]);
            c[active[a]] = signs[a];
        }
        m = 0;
        __syncthreads();
    }

    // List the atoms with priority above ``threshold``, the largest first; returns their number.
    __device__ int select(T threshold) {
        double number = 0;
        for (int k = lane(); k < n; k += THREADS_PER_WARP) {
            if (!(priority[k] > threshold)) continue;
            int place = 0;
            for (int j = 0; j < n; j++)
                place += priority[j] > priority[k] || (priority[j] == priority[k] && j < k);
            selected[place] = k;
            number++;
        }
        return (int)sum(number);
    }

    // u = G_AA^-1 g; returns g . u.
    __device__ double solve() {
        double energy = 0;
        for (int a = lane(); a < m; a += THREADS_PER_WARP) {
            double total = 0;
            for (int b = 0; b <= a; b++) total += row(a)[b] * g[b];
            t[a] = total;
            energy += total * total;
        }
        energy = sum(energy);
        for (int b = lane(); b < m; b += THREADS_PER_WARP) {
            double total = 0;
            for (int a = b; a < m; a++) total += t[a] * row(a)[b];
            u[b] = total;
        }
        __syncthreads();
        return energy;
    }

    __device__ void append(double schur) {
        double root = 1 / sqrt(schur);
        for (int b = lane(); b < m; b += THREADS_PER_WARP) row(m)[b] = -root * u[b];
        if (lane() == 0) row(m)[m] = root;
        __syncthreads();
    }

    // Remove active atom number j: rotate its column into one row, and delete both.
    __device__ void leave(int j) {
        for (int b = lane(); b < m; b += THREADS_PER_WARP) carry[b] = b <= j ? row(j)[b] : 0;
        __syncthreads();
        double length = row(j)[j];
        for (int a = j + 1; a < m; a++) {
            double end = row(a)[j], total = sqrt(length * length + end * end);
            double cosine = length / total, sine = end / total;
            length = total;
            __syncthreads();
            for (int b = lane(); b <= a; b += THREADS_PER_WARP) {
                double old = row(a)[b], rest = carry[b], kept = cosine * old - sine * rest;
                carry[b] = sine * old + cosine * rest;
                if (b < j) row(a - 1)[b] = kept;  // column j is zero and is dropped
                if (b > j) row(a - 1)[b - 1] = kept;
            }
            __syncthreads();
        }
        if (lane() == 0)
            for (int a = j; a < m - 1; a++) {
                active[a] = active[a + 1];
                codes[a] = codes[a + 1];
                signs[a] = signs[a + 1];
                g[a] = g[a + 1];
            }
        m--;
        __syncthreads();
    }

    // Move the codes by ``scale u``, but not past the first that reaches zero. Gives the fraction
    // of the step taken, and the index of the atom that limited it, or -1.
    __device__ double advance(double scale, int *hit) {
        double step = 1;
        int place = n;
        for (int a = lane(); a < m; a += THREADS_PER_WARP) {
            double size = codes[a] * signs[a], speed = -scale * u[a] * signs[a];
            if (speed * step > size) {
                step = size / speed;
                place = a;
            }
        }
        place = first_minimum(&step, place);
        *hit = place < n ? place : -1;
        for (int a = lane(); a < m; a += THREADS_PER_WARP) codes[a] += step * scale * u[a];
        __syncthreads();
        return step;
    }

    // Minus the derivative of the objective along z_k; 0 if now |c_k| <= threshold w_k.
    __device__ double slope(int k, double threshold) {
        double part = 0, sign = c[k] > 0 ? 1 : -1;  // c may change once all threads have summed
        for (int a = lane(); a < m; a += THREADS_PER_WARP) {
            g[a] = gram[(Offset)k * n + active[a]];
            part += g[a] * codes[a];
        }
        double rest = (double)q[k] - sum(part);
        return sign * rest > threshold * lmbda[k] ? rest - sign * lmbda[k] : 0;
    }

    // Minimise over the active codes and z_k; codes that reach zero on the way become inactive.
    __device__ void enter(int k, double slope, double cost) {
        double size = 0, schur, min_schur, own = gram[(Offset)k * n + k];
        double limit = sizeof(T) == 8 ? 2.220446049250313e-16 : 1.1920928955078125e-07;
        while (true) {
            schur = own - solve();
            min_schur = maximum(64 * limit * own, 0.5 * slope * slope / cost);
            double way = slope / maximum(schur, min_schur);
            int hit;
            double step = advance(-way, &hit);
            size += step * way;
            if (hit < 0) break;
            slope -= step * way * maximum(schur, 0.0);
            leave(hit);
        }
        append(maximum(schur, min_schur));
        if (lane() == 0) {
            active[m] = k;
            codes[m] = size;
            signs[m] = size > 0 ? 1 : size < 0 ? -1 : 0;
        }
        m++;
        __syncthreads();
    }

    // Newton step to the minimum for the current signs; codes that reach zero become inactive.
    __device__ void refine() {
        for (int a = lane(); a < m; a += THREADS_PER_WARP)
            g[a] = c[active[a]] - lmbda[active[a]] * signs[a];
        __syncthreads();
        while (true) {
            solve();
            int hit;
            double step = advance(1.0, &hit);
            if (hit < 0) return;
            for (int a = lane(); a < m; a += THREADS_PER_WARP) g[a] *= 1 - step;
            __syncthreads();
            leave(hit);
        }
    }

    // Minimise; returns the duality gap.
    __device__ double descend(double tol, int max_rounds) {
        bool warm = m > 0;
        int entered = 1;
        double last_cost = 1.0 / 0.0, last_gap = last_cost, cost, gap = 0;
        for (int round = 0; round <= max_rounds; round++) {
            correlate();
            double top = dual_infeasibility();
            certify(top, &cost, &gap);
            if (gap <= tol * cost || round == max_rounds) break;
            if ((entered == 0 && gap > 0.5 * last_gap) || cost > 1.01 * last_cost) break;
            double violation = maximum(top - 1, 0.0);
            double select_above = 1 + SELECT_FRACTION * violation;
            double enter_above = 1 + ENTER_FRACTION * violation;
            if (warm) {  // there is no factor yet
                warm = false;
                select_above = 0;
                enter_above = 1;
                cost = 0.5 * energy;
                gap = 1.0 / 0.0;
                warm_start();
            }
            entered = 0;
            last_cost = cost;
            last_gap = gap;
            int number = select((T)select_above);
            for (int i = 0; i < number; i++) {
                double steep = slope(selected[i], enter_above);
                if (steep == 0) continue;
                enter(selected[i], steep, cost);
                entered++;
            }
            if (entered == 0) refine();
        }
        return gap;
    }

    __device__ void write(T *z) const {
        for (int k = lane(); k < n; k += THREADS_PER_WARP) z[k] = 0;
        __syncthreads();
        for (int a = lane(); a < m; a += THREADS_PER_WARP) z[active[a]] = (T)codes[a];
        __syncthreads();
    }
};

template <typename T>
__global__ void __launch_bounds__(THREADS_PER_WARP)
lasso_gram(const T *gram, const T *correlations, const double *energies, const T *weights,
           const T *norm2, int n, Offset signals, int both_signs, double tol, int max_rounds,
           const T *start, T *z, double *gap, double *work, T *lists, int *index) {
    __shared__ double numbers[THREADS_PER_WARP];
    __shared__ int places[THREADS_PER_WARP];
    Offset wide = n + 1;
    double *vectors = work + blockIdx.x * (wide + 6) * wide;
    Signal<T> s;
    s.gram = gram;
    s.weights = weights;
    s.n = n;
    s.both_signs = both_signs;
    s.norm2 = *norm2;
    s.c = lists + blockIdx.x * 3 * wide;
    s.lmbda = s.c + wide;
    s.priority = s.lmbda + wide;
    s.codes = vectors;
    s.signs = s.codes + wide;
    s.g = s.signs + wide;
    s.u = s.g + wide;
    s.t = s.u + wide;
    s.carry = s.t + wide;
    s.factor = s.carry + wide;
    s.active = index + blockIdx.x * 2 * wide;
    s.selected = s.active + wide;
    s.numbers = numbers;
    s.places = places;
    for (Offset i = blockIdx.x; i < signals; i += gridDim.x) {
        s.q = correlations + i * n;
        s.energy = energies[i];
        s.load_lmbda();
        s.read(start + i * n);
        double found = s.descend(tol, max_rounds);
        s.write(z + i * n);
        if (threadIdx.x == 0) gap[i] = found;
    }
}
