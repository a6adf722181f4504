// CUDA C++ on the host: a block is a set of threads that meet at barriers.
//
// The threads of a block are coroutines that take turns between two barriers, forwards or backwards,
// so that a kernel that relies on an order, or forgot a barrier, gives two answers; or, slowly, real
// threads with a std::barrier. Threads that wait at different barriers end the launch. Blocks run one after the other: __shared__ is static.

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <typeinfo>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __syncthreads() host::wait(__LINE__)

struct Index {
    unsigned x, y, z;
};
static Index gridDim, blockDim, blockIdx;
static thread_local Index threadIdx;

namespace host {
enum Order { FORWARDS, BACKWARDS, THREADS };
const size_t STACK = 1 << 16;

struct Coroutine {
    ucontext_t here;
    bool done;
    int line;  // of the barrier at which it waits
    std::unique_ptr<char[]> stack;
};
static ucontext_t scheduler;
static Coroutine *running;
static std::barrier<> *gate;
static std::vector<Coroutine> team;  // kept from launch to launch
static void (*work)(void *);
static void *given;

static inline void wait(int line) {
    if (gate) {
        gate->arrive_and_wait();
        return;
    }
    running->line = line;
    swapcontext(&running->here, &scheduler);
}

static void trampoline() {
    work(given);
    running->done = true;
    running->line = 0;
    swapcontext(&running->here, &scheduler);
}

// 0, or the line of a barrier to which not all threads came.
static int run_by_turns(bool backwards) {
    unsigned n = blockDim.x, left = n;
    for (unsigned i = team.size(); i < n; i++) {
        team.emplace_back();
        team.back().stack.reset(new char[STACK]);
    }
    for (unsigned i = 0; i < n; i++) {
        getcontext(&team[i].here);
        team[i].here.uc_stack.ss_sp = team[i].stack.get();
        team[i].here.uc_stack.ss_size = STACK;
        team[i].here.uc_link = nullptr;
        team[i].done = false;
        makecontext(&team[i].here, trampoline, 0);
    }
    while (left) {
        for (unsigned turn = 0; turn < n; turn++) {
            unsigned i = backwards ? n - 1 - turn : turn;
            if (team[i].done) continue;
            threadIdx = {i, 0, 0};
            running = &team[i];
            swapcontext(&scheduler, &team[i].here);
            left -= team[i].done;
        }
        for (unsigned i = 1; i < n; i++)
            if (team[i].line != team[0].line) return std::max(team[i].line, team[0].line);
    }
    return 0;
}

static void run_in_threads() {
    std::barrier<> own(blockDim.x);
    gate = &own;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < blockDim.x; i++)
        threads.emplace_back([i] {
            threadIdx = {i, 0, 0};
            work(given);
            gate->arrive_and_drop();
        });
    for (auto &thread : threads) thread.join();
    gate = nullptr;
}

// Call a kernel on every block of a grid; ``arguments`` point to its arguments, as in CUDA.
template <typename... P, size_t... I>
int launch(void (*kernel)(P...), const unsigned *grid, unsigned threads, int order,
           void **arguments, std::index_sequence<I...>) {
    auto call = [&] { kernel(*(P *)arguments[I]...); };
    given = &call;
    work = [](void *it) { (*static_cast<decltype(call) *>(it))(); };
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                blockIdx = {x, y, z};
                if (order == THREADS) run_in_threads();
                else if (int line = run_by_turns(order == BACKWARDS)) return line;
            }
    return 0;
}

template <typename... P>
int launch(void (*kernel)(P...), const unsigned *grid, unsigned threads, int order,
           void **arguments) {
    return launch(kernel, grid, threads, order, arguments, std::index_sequence_for<P...>());
}

// Types of a kernel's parameters, as the compiler spells them, with their sizes.
template <typename... P> const char *signature(void (*)(P...)) {
    static std::string text;
    text.clear();
    ((text += std::string(typeid(P).name()) + " " + std::to_string(sizeof(P)) + ";"), ...);
    return text.c_str();
}
}  // namespace host

using std::fabs;
using std::sqrt;
