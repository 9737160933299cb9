// The compiled training core: it trains K feed-forward networks of one shape on the CPU, n steps in one call.
//
// A step reads "gather, forward, loss, backward, update, log" (`Network::step`). Each thread trains one network after another; when none
// is left, it helps with those still in training by taking columns of their layers (`Phase`). The results do not depend on the number of
// threads, on K, or on how the steps are divided among calls. What passes between the layers is kept in one block of memory per thread,
// which belongs to the caller. Denormal numbers count as zero.
//
// Notation: b rows in a batch, D columns, H units, O outputs; shapes as in (b, H). T is float or double. The stride of a matrix is the
// distance between its rows; scratch matrices have a stride of whole vectors. The padding after the last column, and one vector beyond
// the end, may be read, even while another thread writes there, but what is read is never used.
//
// A build contains several copies of the kernels (`Network` and what it uses), each compiled for a different instruction set. Everything
// in them has internal linkage, and they use no template or inline function of the standard library; otherwise the linker could merge
// code for a new processor into what an old one runs. The driver at the end is compiled once and picks a copy. See hatch_build.py.

#include <stddef.h>
#include <stdint.h>

#include <utility>
#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#include <xmmintrin.h>
#endif

#ifndef MANYNETS_KERNELS                // a different name for each further copy of the kernels
#define MANYNETS_KERNELS manynets_base  // the copy compiled together with the driver
#define MANYNETS_DRIVER
#endif

// --- the interface ----------------------------------------------------------------------------------------------------------------

struct Job {
  int64_t type;      // bytes of T: 4 or 8
  int64_t threads;   // at most
  int64_t networks;  // K
  // the networks
  int64_t layers;            // linear layers L >= 1
  const int64_t* widths;     // (L + 1): D, hidden units, O
  int64_t activation;        // see `Activation`
  int64_t bias, batch_norm, input_scale;  // 0 or 1
  // the loss
  int64_t loss;        // see `Loss`
  int64_t total;       // sum over outputs instead of mean
  double parameter;    // quantile, or delta of the Huber loss
  const double* unit;  // (K, O): factors of the reported loss, or NULL for 1
  // the rows
  const void* x;          // T (N, D)
  int64_t sums;           // 0; or, to evaluate, x holds the sums of the first layer, T (K, N, H), this many numbers per network
  const void* terms;      // T (K, L, H): terms that are exchanged in these sums, or NULL
  int64_t terms_stride;   // numbers between networks
  const int64_t *old_terms, *new_terms;  // (N): the term in each row; (n): its replacement in each row visited
  const void* target;     // int64 (N) class codes for softmax, else T (N, O); NULL if only scores are wanted
  const int64_t* order;   // (E, U, stride): the order in which each epoch visits the rows; NULL for 0, 1, 2, ...
  int64_t order_stride, epoch_stride;  // distance from one order, and from one epoch, to the next
  const int64_t* counts;  // (U): the rows in each order
  const int64_t* which;   // (K): the order of each network
  const void* weights;    // T (U, N) or (1, N): row weights, or NULL
  int64_t weight_stride;  // N, or 0 if all orders share one row
  // the steps
  int64_t batch_size, steps_per_epoch;  // the last step of an epoch takes all rows that are left
  int64_t first, count;                 // the step of the epoch to start at, and how many to make; to evaluate: rows
  int64_t step;                         // steps made so far in the whole training, for dropout
  const uint8_t* active;                // (K): 0 for a network to skip
  // the state
  void* flat;               // T (K, P): weight matrices (the first transposed), biases, gain and shift of batch norm, input scale
  int64_t parameters;       // P
  void* statistics;         // T (K, Q): running mean and variance of batch norm
  int64_t statistics_size;  // Q
  void* state[2];           // T (K, P): of the optimizer, NULL if unused
  // the update
  int64_t optimizer;             // see `Optimizer`
  int64_t nesterov, lr_in_velocity;
  int64_t parts;                 // G: ranges of parameters with coefficients of their own
  const int64_t* part_ends;      // (G): where each of them ends within the P parameters
  const double* hyper;           // (G, K, 4): momentum, beta1 or alpha; beta2 or the momentum of RMSprop; eps; weight_decay
  const double* coefficients;    // (n, G, 3, K): see `Network::optimize`
  const double *l1, *l2, *clip;  // (K)
  const double* penalty_scale;   // (n, K): factors of l1 and l2 in the gradient, or NULL
  const double* smoothing;       // (K): label smoothing
  // dropout of the input of each layer
  const uint64_t* keys;   // (K, L)
  const double* dropout;  // (K, L): probabilities
  // out
  double* log;  // (n, K, 3 + M): sums over the batch of loss, weight, penalty, hits; an evaluation adds to (K, 3 + M)
  void* scores;           // T (K, stride): if not NULL, an evaluation only writes the scores (rows, O) of each network here
  int64_t scores_stride;
  // memory for each thread, initially zero: see `manynets_block_size`
  char* blocks;
  int64_t block_size;
};

// A phase of a step of one network, in independent parts that threads share: see `take_part`.
struct Phase {
  uint64_t ticket;     // its number, and which parts are not yet taken
  int64_t unfinished;  // parts
  void (*call)(const void* work, int64_t part);  // do a part
  const void* work;
  char apart[96];  // keeps phases in different cache lines
};

// What the threads of a call share.
struct Crew {
  int64_t taken;          // networks that a thread has taken
  int64_t busy, members;  // threads that may still take networks; threads that have started
  Phase* phases;          // one for each thread, or NULL if a step is too short to be shared
  int64_t size;           // of `phases`
  int64_t stalled;        // microseconds spent waiting for a thread that had no processor; sharing ends when it is above 0
  double (*now)();        // seconds
  void (*rest)();         // sleep for a while
};

// What one copy of the kernels offers. run: train (or evaluate) networks that no other thread of the crew has taken, then help the others.
// block_size: the bytes that each thread needs.
struct Kernels {
  const char* name;
  void (*run)(const Job* job, bool training, Crew* crew);
  int64_t (*block_size)(const Job* job, bool training);
};

namespace {

enum Activation { IDENTITY, RELU, LEAKY_RELU, ELU, SELU, GELU, SILU, MISH, TANH, SIGMOID, SOFTPLUS, HARD_SWISH };
enum Loss { SOFTMAX, LOGISTIC, SQUARED, HALF_SQUARED, ABSOLUTE, HUBER, QUANTILE, POISSON };
enum Optimizer { SGD, ADAM, ADAMW, NADAM, RMSPROP, ADAGRAD, LION };

constexpr double BATCH_NORM_EPS = 1e-5;
constexpr double BATCH_NORM_MOMENTUM = 0.1;
constexpr double CLIP_EPS = 1e-6;
constexpr int64_t EVALUATED = 128;  // rows that are evaluated at a time

// Return the number of parts into which the rows of a network are divided, for threads to share.
int64_t parts_of(const Job& job) { return job.scores ? (job.count + EVALUATED - 1) / EVALUATED : 1; }

// --- vector types and math --------------------------------------------------------------------------------------------------------
// The compiler vectorizes loops over numbers; only matrix products use vector types.

struct Set {
  const char* name;
  int vector_bytes, registers;
};
#if defined(__AVX512F__)
constexpr Set SET = {"AVX-512", 64, 32};
#elif defined(__AVX2__)
constexpr Set SET = {"AVX2", 32, 16};
#elif defined(__ARM_NEON)
constexpr Set SET = {"NEON", 16, 32};
#else
constexpr Set SET = {"portable", 16, 16};
#endif

#define INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")  // no iteration of the loop reads what another one writes
#define UNROLL _Pragma("unroll")
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#define UNROLL _Pragma("GCC unroll 32")
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, decltype(a < b){__VA_ARGS__})
#endif

template <class T>
struct Vector {
  typedef T type __attribute__((vector_size(SET.vector_bytes)));
  typedef T anywhere __attribute__((vector_size(SET.vector_bytes), aligned(sizeof(T)), may_alias));  // in memory
};

template <class T>
constexpr int LANES = SET.vector_bytes / static_cast<int>(sizeof(T));

// Return the smallest stride of whole vectors for n columns.
template <class T>
INLINE int64_t padded(int64_t n) {
  return (n + LANES<T> - 1) / LANES<T> * LANES<T>;
}

// The same, but avoid strides at which many rows of a matrix compete for the same cache sets.
template <class T>
INLINE int64_t spread(int64_t n) {
  constexpr int64_t APART = 1024;  // bytes
  const int64_t stride = padded<T>(n);
  return stride * static_cast<int64_t>(sizeof(T)) % APART ? stride : stride + LANES<T>;
}

template <class T>
INLINE typename Vector<T>::type load(const T* from) {
  return *reinterpret_cast<const typename Vector<T>::anywhere*>(from);
}

template <class T>
INLINE void store(T* to, typename Vector<T>::type v) {
  *reinterpret_cast<typename Vector<T>::anywhere*>(to) = v;
}

// Copy n numbers in whole vectors; the last may overlap the one before.
template <class T>
INLINE void copy(int64_t n, const T* from, T* to) {
  if (n < LANES<T>) {
    INDEPENDENT
    for (int64_t j = 0; j < n; j++) to[j] = from[j];
    return;
  }
  for (int64_t j = 0; j + LANES<T> <= n; j += LANES<T>) store(to + j, load(from + j));
  store(to + n - LANES<T>, load(from + n - LANES<T>));
}

// In n sums, replace one term by another.
template <class T>
INLINE void exchange(int64_t n, const T* before, const T* after, T* sums) {
  INDEPENDENT
  for (int64_t j = 0; j < n; j++) sums[j] = sums[j] - before[j] + after[j];
}

template <class T>
struct Real;
template <>
struct Real<float> {
  using Bits = int32_t;
  static constexpr int MANTISSA = 23, BIAS = 127, EXP_TERMS = 7, LOG_TERMS = 8;
  static constexpr float LOWEST = -87.3f, HIGHEST = 89.0f;              // where exp becomes 0 and infinite
  static constexpr float ROUND = 12582912.0f;                            // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
  static constexpr float TAIL[] = {0.1888212818f,   0.151974101f,     0.09678439073f,    0.04663167772f,  0.01509882397f,
                                   0.001878057845f, -8.690419737e-4f, -3.909467247e-4f, 3.233142034e-5f, 3.93301424e-5f};
};
template <>
struct Real<double> {
  using Bits = int64_t;
  static constexpr int MANTISSA = 52, BIAS = 1023, EXP_TERMS = 13, LOG_TERMS = 17;
  static constexpr double LOWEST = -708.3, HIGHEST = 710.0;
  static constexpr double ROUND = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double LN2_HIGH = 6.93145751953125e-1, LN2_LOW = 1.42860682030941723212e-6;
  static constexpr double TAIL[] = {
      0.188821282603937873,    0.151974160492973075,     0.0967843501855537294,   0.046630464489909153,    0.0150991437227294681,
      0.00188504724184657814,  -8.69923091761993408e-4,  -4.07704616852477115e-4, 3.3336077352958136e-5,   5.77737543406935645e-5,
      -4.77061587853642763e-7, -8.78627797570941282e-6,  1.79164691029878025e-7,  1.48040276148099434e-6,  -1.57459183462309226e-7,
      -2.56196275413819335e-7, 6.81157423778646802e-8,   3.99434903555980512e-8,  -2.17166175399947319e-8, -4.46123194324535406e-9,
      5.35690096086308897e-9,  1.46840669124679767e-10,  -9.3266127046709257e-10, 2.99944550781327365e-11, 8.50828077162373662e-11};
};

// Return the bits of a number as another type.
template <class To, class From>
INLINE To bits_as(From x) {
  To out;
  __builtin_memcpy(&out, &x, sizeof out);
  return out;
}

INLINE float square_root(float x) { return __builtin_sqrtf(x); }
INLINE double square_root(double x) { return __builtin_sqrt(x); }
INLINE float logarithm(float x) { return __builtin_logf(x); }
INLINE double logarithm(double x) { return __builtin_log(x); }
INLINE float absolute(float x) { return __builtin_fabsf(x); }
INLINE double absolute(double x) { return __builtin_fabs(x); }

INLINE double square(double x) { return x * x; }

// The sum of term(i) for all i < n, in partial sums that vectorize.
template <class T, class F>
INLINE T sum_of(int64_t n, F term) {
  constexpr int PARTS = 32;
  T part[PARTS] = {}, sum = 0;
  int64_t i = 0;
  for (; i + PARTS <= n; i += PARTS) {
    INDEPENDENT
    for (int j = 0; j < PARTS; j++) part[j] += term(i + j);
  }
  for (; i < n; i++) sum += term(i);
  for (int j = 0; j < PARTS; j++) sum += part[j];
  return sum;
}

// exp(x) = 2 half (1 + rest): x = n ln 2 + r with |r| <= ln(2) / 2; half = 2^(n - 1), and rest = expm1(r) by its Taylor series.
template <class T>
struct Power {
  T half, rest;

  INLINE explicit Power(T x) {
    using R = Real<T>;
    using Bits = typename R::Bits;
    x = x < R::LOWEST ? R::LOWEST : x;
    x = x > R::HIGHEST ? R::HIGHEST : x;
    const T shifted = x * T(1.44269504088896340736) + R::ROUND;
    const T n = shifted - R::ROUND;
    T r = x - n * R::LN2_HIGH;
    r = r - n * R::LN2_LOW;
    double factorial[R::EXP_TERMS + 1] = {1};
    for (int i = 1; i <= R::EXP_TERMS; i++) factorial[i] = factorial[i - 1] * i;
    T series = T(1 / factorial[R::EXP_TERMS]);
    UNROLL
    for (int i = R::EXP_TERMS - 1; i > 0; i--) series = series * r + T(1 / factorial[i]);
    rest = series * r;
    half = bits_as<T>((bits_as<Bits>(shifted) - bits_as<Bits>(R::ROUND) + (R::BIAS - 1)) << R::MANTISSA);
  }
};

template <class T>
INLINE T exponential(T x) {
  const Power<T> power(x);
  return (power.rest * power.half + power.half) * 2;
}

// exp(x) - 1 for x <= 0.
template <class T>
INLINE T exponential_minus_1(T x) {
  const Power<T> power(x);
  return 2 * power.half * power.rest + (2 * power.half - 1);
}

// log(1 + x) for 0 <= x <= 1: 2 artanh(s) with s = x / (2 + x), by its series.
template <class T>
INLINE T log_1_plus(T x) {
  const T s = x / (2 + x), square = s * s;
  T series = T(1.0 / (2 * Real<T>::LOG_TERMS + 1));
  UNROLL
  for (int i = Real<T>::LOG_TERMS - 1; i > 0; i--) series = series * square + T(1.0 / (2 * i + 1));
  return 2 * s + 2 * s * (series * square);
}

template <class T>
INLINE T sigmoid(T x) {
  return 1 / (1 + exponential(-x));
}

template <class T>
INLINE T hyperbolic_tangent(T x) {
  const T e = exponential_minus_1(-2 * absolute(x)), t = e / (2 + e);  // -tanh |x|
  return x < 0 ? t : -t;
}

template <class T>
INLINE T softplus(T x) {
  return (x < 0 ? 0 : x) + log_1_plus(exponential(-absolute(x)));
}

// The distribution function of the standard normal, for bell = exp(-x^2 / 2): below 0 it is bell t P(2 t - 1) with t = 4 / (4 - x), and
// P the Chebyshev series of the rest up to the precision of T.
template <class T>
INLINE T normal_distribution(T x, T bell) {
  constexpr int LAST = sizeof Real<T>::TAIL / sizeof(T) - 1;
  const T t = 4 / (4 + absolute(x)), u = 2 * t - 1;
  T series = Real<T>::TAIL[LAST];
  UNROLL
  for (int i = LAST - 1; i >= 0; i--) series = series * u + Real<T>::TAIL[i];
  const T tail = bell * t * series;
  return x < 0 ? tail : 1 - tail;
}

// --- matrix products --------------------------------------------------------------------------------------------------------------

// C (M, N vectors) = start + A (M, k) B (k, N vectors), or C += A B, where A B is summed first, so that small products are not lost
// beside C. Of the last vector of each row of C `last` numbers are written.
template <class T, int M, int N>
INLINE void tile(int64_t k, const T* a, int64_t a_row, int64_t a_column, const T* b, int64_t b_row, const T* start, T* c,
                 int64_t c_row, int64_t last, bool add) {
  using V = typename Vector<T>::type;
  V sum[M][N];
  UNROLL
  for (int i = 0; i < M; i++) {
    UNROLL
    for (int j = 0; j < N; j++) sum[i][j] = start ? load(start + j * LANES<T>) : V{};
  }
  for (int64_t p = 0; p < k; p++) {
    V row[N];
    UNROLL
    for (int j = 0; j < N; j++) row[j] = load(b + j * LANES<T>);
    UNROLL
    for (int i = 0; i < M; i++) {
      UNROLL
      for (int j = 0; j < N; j++) sum[i][j] += a[i * a_row] * row[j];
    }
    a += a_column;
    b += b_row;
  }
  UNROLL
  for (int i = 0; add && i < M; i++) {
    UNROLL
    for (int j = 0; j < N; j++) sum[i][j] += load(c + i * c_row + j * LANES<T>);
  }
  UNROLL
  for (int i = 0; i < M; i++) {
    UNROLL
    for (int j = 0; j < N - 1; j++) store(c + i * c_row + j * LANES<T>, sum[i][j]);
    T* end = c + i * c_row + (N - 1) * LANES<T>;
    if (last == LANES<T>) {
      store(end, sum[i][N - 1]);
    } else {
      T lanes[LANES<T>];
      store(lanes, sum[i][N - 1]);
      for (int64_t j = 0; j < last; j++) end[j] = lanes[j];
    }
  }
}

template <class T, int N>
void panel(int64_t m, int64_t k, const T* a, int64_t a_row, int64_t a_column, const T* b, int64_t b_row, const T* start, T* c,
           int64_t c_row, int64_t last, bool add) {
  constexpr int M = SET.registers == 32 && N <= 3 ? 8 : 6;
  int64_t i = 0;
  for (; i + M <= m; i += M) tile<T, M, N>(k, a + i * a_row, a_row, a_column, b, b_row, start, c + i * c_row, c_row, last, add);
  for (; i + 2 <= m; i += 2) tile<T, 2, N>(k, a + i * a_row, a_row, a_column, b, b_row, start, c + i * c_row, c_row, last, add);
  for (; i < m; i++) tile<T, 1, N>(k, a + i * a_row, a_row, a_column, b, b_row, start, c + i * c_row, c_row, last, add);
}

// C (m, n) = start + A (m, k) B (k, n), or C += A B. Element (i, p) of A is a[i * a_row + p * a_column]. Of each row of B and start (NULL:
// zeros) whole vectors are read; of each row of C whole vectors are written, or exactly n numbers.
template <class T>
void product(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_column, const T* b, int64_t b_row,
             const T* start, T* c, int64_t c_row, bool exact, bool add = false) {
  constexpr int64_t MOST = SET.registers == 32 ? 4 : 2, BLOCK = 128;  // of B the nearest cache holds BLOCK rows, MOST vectors wide
  if (k > BLOCK) {
    product<T>(m, n, BLOCK, a, a_row, a_column, b, b_row, start, c, c_row, exact, add);
    return product<T>(m, n, k - BLOCK, a + BLOCK * a_column, a_row, a_column, b + BLOCK * b_row, b_row, nullptr, c, c_row, exact, true);
  }
  const int64_t vectors = padded<T>(n) / LANES<T>, rest = exact ? n - (vectors - 1) * LANES<T> : LANES<T>;
  for (int64_t j = 0; j < vectors;) {
    const int64_t left = vectors - j, width = left <= MOST ? left : left < 2 * MOST ? (left + 1) / 2 : MOST;
    const int64_t at = j * LANES<T>, last = width == left ? rest : LANES<T>;
    const T* from = start ? start + at : start;
    switch (width) {
      case 1: panel<T, 1>(m, k, a, a_row, a_column, b + at, b_row, from, c + at, c_row, last, add); break;
      case 2: panel<T, 2>(m, k, a, a_row, a_column, b + at, b_row, from, c + at, c_row, last, add); break;
      case 3: panel<T, 3>(m, k, a, a_row, a_column, b + at, b_row, from, c + at, c_row, last, add); break;
      default: panel<T, 4>(m, k, a, a_row, a_column, b + at, b_row, from, c + at, c_row, last, add);
    }
    j += width;
  }
}

// Add the halves of each block of 2 W lanes: those of a fill the first half of the result, those of b the second. L: the lanes from 0 on.
template <int W, class V, int... L>
INLINE V fold(V a, V b, std::integer_sequence<int, L...>) {
  return SHUFFLE(a, b, (L / W * 2 * W + L % W)...) + SHUFFLE(a, b, (L / W * 2 * W + L % W + W)...);
}

// Turn 2 W vectors into one, whose lanes are the sums over theirs.
template <class T, int W = LANES<T> / 2>
INLINE void sum_lanes(typename Vector<T>::type* v) {
  UNROLL
  for (int i = 0; i < W; i++) v[i] = fold<W>(v[2 * i], v[2 * i + 1], std::make_integer_sequence<int, LANES<T>>());
  if constexpr (W > 1) sum_lanes<T, W / 2>(v);
}

// out (rows) = start + A (rows, n) v (n), where v has zeros up to whole vectors, and A any finite numbers; out has space for whole vectors
template <class T>
void product_with_vector(int64_t rows, int64_t n, const T* a, int64_t a_row, const T* v, T start, T* out) {
  for (int64_t r = 0; r < rows; r += LANES<T>) {
    typename Vector<T>::type sum[LANES<T>];
    UNROLL
    for (int i = 0; i < LANES<T>; i++) {
      const T* row = a + (r + i < rows ? r + i : r) * a_row;
      sum[i] = load(row) * load(v);
      for (int64_t j = LANES<T>; j < n; j += LANES<T>) sum[i] += load(row + j) * load(v + j);
    }
    sum_lanes<T>(sum);
    store(out + r, sum[0] + start);
  }
}

// to (n, stride) = the transpose of from (rows, n), by blocks that stay in the cache
template <class T>
void transpose(int64_t rows, int64_t n, const T* from, T* to, int64_t stride) {
  constexpr int64_t BLOCK = 8;
  int64_t r = 0;
  for (; r + BLOCK <= rows; r += BLOCK) {
    for (int64_t j = 0; j < n; j++) {
      UNROLL
      for (int64_t i = r; i < r + BLOCK; i++) to[j * stride + i] = from[i * n + j];
    }
  }
  for (; r < rows; r++) {
    for (int64_t j = 0; j < n; j++) to[j * stride + r] = from[r * n + j];
  }
}

// --- activations ------------------------------------------------------------------------------------------------------------------

template <class T>
struct ValueAndSlope {
  T value, slope;
};

// value[i], slope[i] = f(in[i] ...) for all i < n. Either may be written over what is read; slope may be NULL.
template <class T, class F, class... In>
INLINE void map(int64_t n, T* value, T* slope, F f, const In*... in) {
  if (!slope) {
    INDEPENDENT
    for (int64_t i = 0; i < n; i++) value[i] = f(in[i]...).value;
    return;
  }
  INDEPENDENT
  for (int64_t i = 0; i < n; i++) {
    const ValueAndSlope<T> y = f(in[i]...);
    value[i] = y.value;
    slope[i] = y.slope;
  }
}

// Replace z (n) by the activation, and write its derivative unless slope is NULL. A z that is not a number stays one.
template <class T>
void activate(int64_t activation, int64_t n, T* z, T* slope) {
  using Y = ValueAndSlope<T>;
  constexpr T ALPHA = T(1.6732632423543772), SCALE = T(1.0507009873554805);  // SELU: Klambauer et al. 2017
  const auto each = [=](auto f) { map(n, z, slope, f, z); };
  switch (activation) {
    case IDENTITY:
      return each([](T x) { return Y{x, 1}; });
    case RELU:
      return each([](T x) { return Y{x < 0 ? T(0) : x, x <= 0 ? T(0) : T(1)}; });
    case LEAKY_RELU:
      return each([](T x) { return x > 0 ? Y{x, 1} : Y{T(0.01) * x, T(0.01)}; });
    case ELU:
    case SELU: {
      const T alpha = activation == SELU ? ALPHA : T(1), scale = activation == SELU ? SCALE : T(1);
      return each([=](T x) {
        const T e = exponential_minus_1(x < 0 ? x : T(0));
        return Y{scale * (x < 0 ? alpha * e : x), scale * (x > 0 ? T(1) : alpha * (e + 1))};
      });
    }
    case GELU:  // x F(x), F the distribution function of the standard normal
      return each([](T x) {
        const T bell = exponential(T(-0.5) * x * x), f = normal_distribution(x, bell);
        return Y{x * f, f + x * bell * T(0.39894228040143267794)};
      });
    case SILU:
      return each([](T x) {
        const T s = sigmoid(x);
        return Y{x * s, s * (1 + x * (1 - s))};
      });
    case MISH:  // x t, t = tanh(softplus(x)) = u / (u + 2) with u = e^x (e^x + 2)
      return each([](T x) {
        const T e = exponential(x > 20 ? T(20) : x), u = e * (e + 2), t = u / (u + 2);
        return Y{x * t, t + x * (e / (1 + e)) * (2 / (u + 2)) * (1 + t)};
      });
    case TANH:
      return each([](T x) {
        const T t = hyperbolic_tangent(x);
        return Y{t, 1 - t * t};
      });
    case SIGMOID:
      return each([](T x) {
        const T s = sigmoid(x);
        return Y{s, s * (1 - s)};
      });
    case HARD_SWISH:  // x min(max(x + 3, 0), 6) / 6
      return each([](T x) {
        const T share = x <= -3 ? T(0) : x >= 3 ? T(1) : x * T(1.0 / 6) + T(0.5);
        return Y{x * share, x <= -3 || x >= 3 ? share : x * T(1.0 / 3) + T(0.5)};
      });
    default:  // softplus, the identity above 20 as in torch
      return each([](T x) { return Y{x > 20 ? x : softplus(x), x > 20 ? T(1) : sigmoid(x)}; });
  }
}

// --- losses -----------------------------------------------------------------------------------------------------------------------

template <class T>
INLINE T sign(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x;
}

// Write the losses of the scores z (n), and replace the scores by the derivatives.
template <class T>
void elementwise_loss(const Job& job, T smoothing, int64_t n, T* z, const T* t, T* loss) {
  using Y = ValueAndSlope<T>;
  const T p = T(job.parameter);
  const auto each = [=](auto l) { map(n, loss, z, l, z, t); };
  switch (job.loss) {
    case LOGISTIC:  // log(1 + exp(z)) - z t
      return each([=](T score, T target) {
        const T smooth = target * (1 - smoothing) + smoothing * T(0.5), e = exponential(-absolute(score));
        return Y{(score < 0 ? T(0) : score) - score * smooth + log_1_plus(e), (score < 0 ? e : T(1)) / (1 + e) - smooth};
      });
    case SQUARED:
    case HALF_SQUARED: {
      const T half = job.loss == SQUARED ? T(1) : T(0.5);
      return each([=](T score, T target) {
        const T error = score - target;
        return Y{half * error * error, 2 * half * error};
      });
    }
    case HUBER:
      return each([=](T score, T target) {
        const T error = score - target, size = absolute(error);
        return size <= p ? Y{T(0.5) * error * error, error} : Y{p * (size - T(0.5) * p), p * sign(error)};
      });
    case ABSOLUTE:
    case QUANTILE: {  // of which the former is twice that for 1/2
      const T scale = job.loss == ABSOLUTE ? T(1) : T(0.5), tilt = job.loss == ABSOLUTE ? T(0) : T(0.5) - p;
      return each([=](T score, T target) {
        const T error = score - target;
        return Y{scale * absolute(error) + tilt * error, scale * sign(error) + tilt};
      });
    }
    default:  // Poisson: half the deviance for the log-rate z
      return each([](T score, T target) {
        const T rate = exponential(score);
        return Y{(target == 0 ? T(0) : target * logarithm(target)) - target - target * score + rate, rate - target};
      });
  }
}

// --- dropout ----------------------------------------------------------------------------------------------------------------------
// As manynets.rng and manynets.nn.dropout: a unit is dropped if its random byte is below a level.

constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15u;

INLINE uint64_t mix64(uint64_t word) {  // the finalizer of SplitMix64: Steele et al. 2014
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
  return word ^ (word >> 31);
}

// Multiply units `from` to `to` of a, and of slope unless it is NULL, by 0 if they are dropped and by 1 / (1 - p) if not. words: scratch
// of rows * ceil(units / 8).
template <class T>
void drop(uint64_t key, int64_t step, double p, int64_t rows, int64_t units, int64_t from, int64_t to, uint64_t* words, T* a, T* slope,
          int64_t stride) {
  const uint64_t word = mix64(key + static_cast<uint64_t>(step + 1) * GOLDEN);
  const double draw = static_cast<double>(mix64(~word + GOLDEN) >> 11) * 0x1p-53;
  const int64_t at = static_cast<int64_t>(256 * p + draw), level = at < 255 ? at : 255;  // 256 p, rounded down or up at random
  const int64_t per_row = (units + 7) / 8, first = from / 8, end = (to + 7) / 8;
  const bool whole = end - first == per_row;
  const int64_t lines = whole ? 1 : rows, length = whole ? rows * per_row : end - first;
  for (int64_t r = 0; r < lines; r++) {
    INDEPENDENT
    for (int64_t i = r * per_row + first; i < r * per_row + first + length; i++) {
      words[i] = mix64(word + GOLDEN * static_cast<uint64_t>(i + 1));
    }
  }
  const T factor = T(1 / (1 - p));
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(words + r * per_row);
    INDEPENDENT
    for (int64_t j = from; j < to; j++) {
      const T kept = bytes[j] >= level ? factor : T(0);
      a[r * stride + j] *= kept;
      if (slope) slope[r * stride + j] *= kept;
    }
  }
}

// --- sharing the work on one network ----------------------------------------------------------------------------------------------

constexpr int64_t PARTS_PER_THREAD = 2;  // of a phase
constexpr int64_t TURNS = 20000;         // of waiting before a thread sleeps, about 0.3 ms
constexpr double SHARED = 4e5;           // least multiplications in a phase that is shared, about 10 us
constexpr double COST_OF_UPDATE = 8;     // of a parameter, in multiplications
constexpr double PATIENCE = 2e-4;        // seconds that helpers may take longer over a phase than its owner

// Do a part that is not yet taken; return whether there was one. A ticket holds the number of the phase, the first part not yet taken,
// and the end of these parts, in 32, 16 and 16 bits. The owner takes parts from the end and helpers from the front, so that in each phase
// a thread meets the columns that are in its cache. If `call` and `work` were those of the next phase, the ticket no longer matches.
bool take_part(Phase& phase, bool own) {
  uint64_t ticket = __atomic_load_n(&phase.ticket, __ATOMIC_ACQUIRE);
  for (;;) {
    const int64_t first = ticket >> 16 & 0xffff, end = ticket & 0xffff;
    if (first == end) return false;
    const auto call = __atomic_load_n(&phase.call, __ATOMIC_RELAXED);
    const void* work = __atomic_load_n(&phase.work, __ATOMIC_RELAXED);
    const uint64_t rest = own ? ticket - 1 : ticket + (1 << 16);
    if (!__atomic_compare_exchange_n(&phase.ticket, &ticket, rest, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
    call(work, own ? end - 1 : first);
    __atomic_fetch_sub(&phase.unfinished, 1, __ATOMIC_RELEASE);
    return true;
  }
}

// Wait for a moment; after many turns, sleep instead.
INLINE void wait(const Crew& crew, int64_t* turns) {
  if (++*turns > TURNS) return crew.rest();
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Do all parts of a phase, together with the threads that help.
void share_parts(Crew& crew, Phase& phase, int64_t parts, void (*call)(const void*, int64_t), const void* work) {
  __atomic_store_n(&phase.unfinished, parts, __ATOMIC_RELAXED);
  __atomic_store_n(&phase.call, call, __ATOMIC_RELAXED);
  __atomic_store_n(&phase.work, work, __ATOMIC_RELAXED);
  __atomic_store_n(&phase.ticket, ((phase.ticket >> 32) + 1) << 32 | static_cast<uint64_t>(parts), __ATOMIC_RELEASE);
  const double began = crew.now();
  while (take_part(phase, true)) continue;
  const double worked = crew.now();
  for (int64_t turns = 0; __atomic_load_n(&phase.unfinished, __ATOMIC_ACQUIRE) > 0;) wait(crew, &turns);
  const double waited = crew.now() - worked;
  if (waited > worked - began + PATIENCE) __atomic_store_n(&crew.stalled, static_cast<int64_t>(1e6 * waited), __ATOMIC_RELAXED);
}

// Do parts of the networks of other threads until these have finished.
void help(Crew& crew) {
  for (int64_t turns = 0; __atomic_load_n(&crew.busy, __ATOMIC_ACQUIRE) > 0 && !__atomic_load_n(&crew.stalled, __ATOMIC_RELAXED);) {
    for (int64_t i = 0; i < crew.size; i++) {
      while (take_part(crew.phases[i], false)) turns = 0;
    }
    wait(crew, &turns);
  }
}

// --- networks ---------------------------------------------------------------------------------------------------------------------

// Hands out parts of a block of memory. Without a block it only adds up their sizes.
struct Arena {
  char* base;
  size_t size = 0;

  static constexpr size_t LINE = 64;

  template <class U>
  U* take(int64_t n) {
    U* part = base ? reinterpret_cast<U*>(base + size) : nullptr;
    size += (static_cast<size_t>(n) * sizeof(U) + 2 * LINE - 1) / LINE * LINE;  // with room for a vector more
    return part;
  }
};

template <class T>
struct Layer {
  int64_t in, out, in_stride, out_stride;
  T *weight, *bias;               // (out, in), of the first layer (in, out); (out)
  T *gain, *shift;                // (out), of batch norm
  T *running_mean, *running_var;  // (out), in the job
  T* ahead;                       // (in, out): the matrix in the form that the forward pass needs
  T* a;       // (b, out_stride): the output before the activation, then after it and dropout, then the gradient with respect to the former
  T* slope;   // (b, out_stride): derivative of the activation, dropout included; NULL if not training
  T* normal;  // (b, out_stride): normalized by batch norm
  T *mean, *var, *inverse;  // (out): of this batch, for batch norm
};

// One network with its buffers.
template <class T>
class Network {
 public:
  Network(const Job& of, bool for_training, Arena& arena, Crew& threads, Phase* shared)
      : job(of), training(for_training), layers(job.layers), crew(threads), phase(shared) {
    layer = arena.take<Layer<T>>(layers);
    measures = job.loss <= LOGISTIC ? 1 : job.widths[layers];
    lay_out(arena);
    if (arena.base) place_parameters();
  }

  void train(int64_t k) {
    open(k);
    for (int64_t s = 0; s < job.count; s++) step(s);
    copy_state(true);
  }

  // Evaluate all rows, or write the scores of one part of them.
  void evaluate(int64_t network, int64_t part) {
    if (network != k) open(network);
    const int64_t end = job.first + job.count;
    for (int64_t start = job.first + part * EVALUATED; start < end; start += EVALUATED) {
      gather(start, end < start + EVALUATED ? end : start + EVALUATED);
      forward(0);
      if (job.scores) return write_scores(start);
      loss(job.log + k * (3 + measures));
    }
  }

 private:
  const Job& job;
  const bool training;
  const int64_t layers;
  Crew& crew;
  Phase* const phase;  // or NULL if no thread helps
  bool stale;          // whether `ahead` is older than the weights
  Layer<T>* layer;
  int64_t measures, score_stride, x_stride;
  T *values, *grads, *state[2];                    // (P), followed by zeros up to whole vectors
  T* scale;                                        // (D): the learned factors of the input columns
  T *x, *target, *weight, *share, *losses;         // (b, D), (b, O), (b), (b), (b, O)
  T* d_input;                                      // (b, D) of a layer above the first: the gradient with respect to its input
  int64_t* codes;                                  // (b)
  uint64_t* words;                                 // scratch for dropout
  int64_t k = -1, rows_to_visit, rows;             // the network; rows in its epoch and in the batch
  const int64_t* order;
  double weight_sum, divisor, unbiased;  // of the batch; the divisor is 1 if all weights are 0

  void lay_out(Arena& arena) {
    const int64_t last = job.order_stride - (job.steps_per_epoch - 1) * job.batch_size;  // rows in the last batch of an epoch
    const int64_t b = !training ? EVALUATED : last > job.batch_size ? last : job.batch_size;
    values = arena.take<T>(padded<T>(job.parameters));
    grads = training ? arena.take<T>(padded<T>(job.parameters)) : nullptr;
    for (int i = 0; i < 2; i++) state[i] = training && job.state[i] ? arena.take<T>(padded<T>(job.parameters)) : nullptr;
    Layer<T> counted;
    int64_t widest = job.widths[0];
    for (int64_t l = 0; l < layers; l++) {
      Layer<T>& y = arena.base ? layer[l] : counted;
      y = Layer<T>();
      y.in = job.widths[l], y.out = job.widths[l + 1];
      y.in_stride = spread<T>(y.in), y.out_stride = l == layers - 1 && y.out == 1 ? 1 : spread<T>(y.out);
      if (l > 0 || y.out_stride == 1 || job.input_scale) y.ahead = arena.take<T>(padded<T>(y.in * y.out_stride));
      y.a = arena.take<T>(b * y.out_stride);
      if (l == layers - 1) break;
      widest = y.out > widest ? y.out : widest;
      y.slope = training ? arena.take<T>(b * y.out_stride) : nullptr;
      if (!job.batch_norm) continue;
      y.normal = arena.take<T>(b * y.out_stride);
      y.mean = arena.take<T>(y.out), y.var = arena.take<T>(y.out), y.inverse = arena.take<T>(y.out);
    }
    x_stride = spread<T>(job.widths[0]), score_stride = job.widths[layers] == 1 ? 1 : spread<T>(job.widths[layers]);
    x = arena.take<T>(b * x_stride);
    target = arena.take<T>(b * score_stride), losses = arena.take<T>(b * score_stride);
    codes = arena.take<int64_t>(b);
    weight = arena.take<T>(b), share = arena.take<T>(b);
    words = arena.take<uint64_t>(b * (widest + 7) / 8 + b);
    d_input = training ? arena.take<T>(b * spread<T>(widest)) : nullptr;
  }

  // Set where the parameters of each layer are in `values`: see manynets/nn/population.py.
  void place_parameters() {
    T* at = values;
    const auto next = [&](int64_t n) { return (at += n) - n; };
    for (int64_t l = 0; l < layers; l++) layer[l].weight = next(layer[l].in * layer[l].out);
    for (int64_t l = 0; l < layers && job.bias; l++) layer[l].bias = next(layer[l].out);
    for (int64_t l = 0; l < layers - 1 && job.batch_norm; l++) {
      layer[l].gain = next(layer[l].out);
      layer[l].shift = next(layer[l].out);
    }
    if (job.input_scale) scale = next(job.widths[0]);
    if (!layer[0].ahead) layer[0].ahead = layer[0].weight;
  }

  // Return where the gradient of a parameter is.
  T* grad(const T* parameter) const { return grads + (parameter - values); }

  // Load a network.
  void open(int64_t network) {
    k = network;
    stale = true;
    order = job.order ? job.order + job.which[k] * job.order_stride : nullptr;
    rows_to_visit = job.counts[job.which[k]];
    copy_state(false);
    T* statistics = static_cast<T*>(job.statistics) + k * job.statistics_size;
    for (int64_t l = 0; l < layers - 1 && job.batch_norm; l++) {
      layer[l].running_mean = statistics;
      layer[l].running_var = statistics + layer[l].out;
      statistics += 2 * layer[l].out;
    }
  }

  // Copy the parameters and the optimizer's state from the job, or back to it.
  void copy_state(bool back) {
    void* theirs[] = {job.flat, job.state[0], job.state[1]};
    T* ours[] = {values, state[0], state[1]};
    const size_t bytes = static_cast<size_t>(job.parameters) * sizeof(T);
    for (int i = 0; i < 3; i++) {
      T* there = static_cast<T*>(theirs[i]) + k * job.parameters;
      if (ours[i]) back ? __builtin_memcpy(there, ours[i], bytes) : __builtin_memcpy(ours[i], there, bytes);
    }
  }

  // Call work(from, to) for parts of n columns or numbers, in whole vectors, which threads share if there is enough to multiply.
  template <class F>
  INLINE void divide(int64_t n, double multiplications, F work) {
    constexpr int64_t PANEL = 4 * LANES<T>;
    if (!phase || multiplications < SHARED || __atomic_load_n(&crew.stalled, __ATOMIC_RELAXED)) return work(0, n);
    struct Parts {
      const F& work;
      int64_t n, each;
    };
    const int64_t most = PARTS_PER_THREAD * job.threads, panels = (n + PANEL - 1) / PANEL;
    const Parts parts = {work, n, (panels + most - 1) / most * PANEL};
    const auto call = [](const void* of, int64_t part) {
      const Parts& p = *static_cast<const Parts*>(of);
      const int64_t from = part * p.each;
      p.work(from, from + p.each < p.n ? from + p.each : p.n);
    };
    share_parts(crew, *phase, (n + parts.each - 1) / parts.each, call, &parts);
  }

  // Call f(place, n) for the numbers in columns `from` to `to`: row by row, or once if these are all columns.
  template <class F>
  INLINE void in_rows(const Layer<T>& y, int64_t from, int64_t to, F f) {
    if (to - from == y.out) return f(0, rows * y.out_stride);
    for (int64_t r = 0; r < rows; r++) f(r * y.out_stride + from, to - from);
  }

  void step(int64_t s) {
    double* log = job.log + (s * job.networks + k) * (3 + measures);
    for (int64_t i = 0; i < 3 + measures; i++) log[i] = 0;
    const int64_t epoch = (job.first + s) / job.steps_per_epoch, in_epoch = (job.first + s) % job.steps_per_epoch;
    const int64_t start = in_epoch * job.batch_size;
    const bool last = in_epoch == job.steps_per_epoch - 1;
    order = job.order + epoch * job.epoch_stride + job.which[k] * job.order_stride;
    gather(start, last ? rows_to_visit : start + job.batch_size);
    stale = true;
    forward(job.step + s);
    loss(log);
    if (is_plain_sgd(s)) {
      const T rate = T(job.coefficients[3 * s * job.parts * job.networks + k]);
      for (int64_t i = 0; i < rows * score_stride; i++) layer[layers - 1].a[i] *= -rate;
      return backward(values, true);
    }
    backward(grads, false);
    update(s, log);
  }

  // --- gather ---

  // Copy the rows `start` to `end` of the order.
  void gather(int64_t start, int64_t end) {
    const int64_t d = job.sums ? layer[0].out : layer[0].in, outputs = job.widths[layers];
    T* to = job.sums ? layer[0].a : x;
    const int64_t stride = job.sums ? layer[0].out_stride : x_stride;
    end = end < rows_to_visit ? end : rows_to_visit;
    rows = start < end ? end - start : 0;
    const T *from = static_cast<const T*>(job.x) + k * job.sums, *targets = static_cast<const T*>(job.target);
    const T* weights = job.weights ? static_cast<const T*>(job.weights) + job.which[k] * job.weight_stride : nullptr;
    const T* terms = job.terms ? static_cast<const T*>(job.terms) + k * job.terms_stride : nullptr;
    weight_sum = 0;
    int64_t positive = 0;
    for (int64_t r = 0; r < rows; r++) {
      const int64_t row = order ? order[start + r] : start + r;
      copy(d, from + row * d, to + r * stride);
      if (terms) exchange(d, terms + job.old_terms[row] * d, terms + job.new_terms[start + r] * d, to + r * stride);
      if (job.loss == SOFTMAX && targets) {
        codes[r] = static_cast<const int64_t*>(job.target)[row];
      } else if (targets) {
        for (int64_t j = 0; j < outputs; j++) target[r * score_stride + j] = targets[row * outputs + j];
      }
      weight[r] = weights ? weights[row] : T(1);
      weight_sum += static_cast<double>(weight[r]);
      positive += weight[r] > 0;
    }
    divisor = weight_sum == 0 ? 1 : weight_sum;
    for (int64_t r = 0; r < rows; r++) share[r] = T(static_cast<double>(weight[r]) / divisor);
    // Batch norm: the running variance is unbiased, where weights count as copies of a row.
    double copies = divisor > static_cast<double>(positive) ? divisor : static_cast<double>(positive);
    copies = copies > 2 ? copies : 2;
    unbiased = copies == divisor ? divisor - 1 : divisor * (copies - 1) / copies;
  }

  // --- forward ---

  // Bring the weights of units `from` to `to` into the form that the products need. The first matrix W is multiplied by the learned
  // factors of the columns: (x s) W = x (s W). Inlining would make it slower.
  __attribute__((noinline)) void load_weights(int64_t l, int64_t from, int64_t to) {
    const Layer<T>& y = layer[l];
    if (l > 0 || y.out_stride == 1) transpose(to - from, y.in, y.weight + from * y.in, y.ahead + from, y.out_stride);
    for (int64_t j = 0; l == 0 && job.input_scale && j < y.in; j++) {
      for (int64_t i = j * y.out + from; i < j * y.out + to; i++) y.ahead[i] = y.weight[i] * scale[j];
    }
  }

  // Turn the gradient G of s W into that of W, which is s G, and write that of s: the sum of G W over the units.
  void scale_inputs_back() {
    const int64_t n = layer[0].out;
    T *w = layer[0].weight, *g = grad(layer[0].weight);
    for (int64_t j = 0; j < layer[0].in; j++) {
      grad(scale)[j] = sum_of<T>(n, [=](int64_t i) { return g[j * n + i] * w[j * n + i]; });
      for (int64_t i = 0; i < n; i++) g[j * n + i] *= scale[j];
    }
  }

  // Write the scores (b, O) of the batch to the last layer's `a`. step: counted over the whole training, for the dropout masks.
  void forward(int64_t step) {
    drop_units(0, step, x, nullptr, x_stride, 0, layer[0].in);
    for (int64_t l = 0; l < layers; l++) {
      divide(layer[l].out, work_of(l), [=](int64_t from, int64_t to) { forward(l, step, from, to); });
    }
    stale = false;
  }

  // Return the number of multiplications in a layer.
  double work_of(int64_t l) const { return static_cast<double>(rows) * static_cast<double>(layer[l].in * layer[l].out); }

  // Compute units `from` to `to` of layer l.
  void forward(int64_t l, int64_t step, int64_t from, int64_t to) {
    Layer<T>& y = layer[l];
    const T *h = l ? layer[l - 1].a : x, *bias = job.bias ? y.bias + from : nullptr;
    if (stale) load_weights(l, from, to);
    if (l == 0 && job.sums) {  // the sums are there already
    } else if (y.out_stride > 1) {
      product<T>(rows, to - from, y.in, h, y.in_stride, 1, y.ahead + from, l ? y.out_stride : y.out, bias, y.a + from, y.out_stride, false);
    } else {
      product_with_vector(rows, y.in, h, y.in_stride, y.ahead, bias ? *bias : T(0), y.a);
    }
    if (l == layers - 1) return;
    if (job.batch_norm) normalize(y, from, to);
    in_rows(y, from, to, [&](int64_t at, int64_t n) { activate(job.activation, n, y.a + at, y.slope ? y.slope + at : nullptr); });
    drop_units(l + 1, step, y.a, y.slope, y.out_stride, from, to);
  }

  // Apply dropout to units `from` to `to` of the input of layer l, and to the slope of the activation below.
  void drop_units(int64_t l, int64_t step, T* a, T* slope, int64_t stride, int64_t from, int64_t to) {
    const double p = training ? job.dropout[k * layers + l] : 0;
    if (p > 0) drop(job.keys[k * layers + l], step, p, rows, job.widths[l], from, to, words, a, slope, stride);
  }

  // out[j] = the sum over rows of term(r, place of row r and column j), for columns `from` to `to`
  template <class F>
  INLINE void sum_rows(const Layer<T>& y, int64_t from, int64_t to, T* out, F term) {
    for (int64_t j = from; j < to; j++) out[j] = 0;
    for (int64_t r = 0; r < rows; r++) {
      INDEPENDENT
      for (int64_t j = from; j < to; j++) out[j] += term(r, r * y.out_stride + j);
    }
  }

  // Batch norm: y = gain (z - mean) / sqrt(var + eps) + shift, in place, for columns `from` to `to`.
  void normalize(Layer<T>& y, int64_t from, int64_t to) {
    const T eps = T(BATCH_NORM_EPS), momentum = T(BATCH_NORM_MOMENTUM);
    T *z = y.a, *normal = y.normal, *inverse = y.inverse, *mean = training ? y.mean : y.running_mean;
    T* var = training ? y.var : y.running_var;
    if (training) {
      sum_rows(y, from, to, mean, [=](int64_t r, int64_t i) { return weight[r] * z[i]; });
      for (int64_t j = from; j < to; j++) mean[j] /= T(divisor);
      sum_rows(y, from, to, var, [=](int64_t r, int64_t i) {
        const T centred = z[i] - mean[i - r * y.out_stride];
        return weight[r] * (centred * centred);
      });
      for (int64_t j = from; j < to; j++) {
        y.running_mean[j] += momentum * (mean[j] - y.running_mean[j]);
        y.running_var[j] += momentum * (var[j] / T(unbiased) - y.running_var[j]);
        var[j] /= T(divisor);
      }
    }
    for (int64_t j = from; j < to; j++) inverse[j] = 1 / square_root(var[j] + eps);
    const T *gain = y.gain, *shift = y.shift;
    for (int64_t r = 0; r < rows; r++) {
      const int64_t row = r * y.out_stride;
      INDEPENDENT
      for (int64_t j = from; j < to; j++) {
        normal[row + j] = (z[row + j] - mean[j]) * inverse[j];
        z[row + j] = normal[row + j] * gain[j] + shift[j];
      }
    }
  }

  // Write out the scores of the batch, whose first row is number `start`.
  void write_scores(int64_t start) {
    const int64_t outputs = job.widths[layers];
    T* to = static_cast<T*>(job.scores) + k * job.scores_stride + start * outputs;
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t j = 0; j < outputs; j++) to[r * outputs + j] = layer[layers - 1].a[r * score_stride + j];
    }
  }

  // --- loss ---

  // Replace the scores by the gradient of the batch's mean loss; add loss, weights and hits to the log.
  void loss(double* log) {
    Layer<T>& top = layer[layers - 1];
    const int64_t outputs = top.out;
    log[1] += weight_sum;
    if (job.loss == SOFTMAX) return softmax_loss(top.a, log);
    const T smoothing = training && job.loss == LOGISTIC ? T(job.smoothing[k]) : T(0);
    outputs == 1 ? hits(top.a, log + 3, 1, 1) : hits(top.a, log + 3, outputs, score_stride);
    elementwise_loss(job, smoothing, rows * score_stride, top.a, target, losses);
    outputs == 1 ? add_losses(top.a, log, 1, 1) : add_losses(top.a, log, outputs, score_stride);
  }

  // Add the mean (or total) loss of each row to the log, and turn the derivatives into those of the batch's mean loss.
  INLINE void add_losses(T* z, double* log, int64_t outputs, int64_t stride) {
    const double mean = job.total ? 1 : 1 / static_cast<double>(outputs);
    const double* unit = job.unit ? job.unit + k * outputs : nullptr;
    log[0] += sum_of<double>(rows, [=](int64_t r) {
      double sum = 0;
      for (int64_t j = 0; j < outputs; j++) sum += static_cast<double>(losses[r * stride + j]) * (unit ? unit[j] : 1);
      return sum * mean * static_cast<double>(weight[r]);
    });
    INDEPENDENT
    for (int64_t r = 0; r < rows; r++) {
      const T factor = T(static_cast<double>(share[r]) * mean);
      for (int64_t j = 0; j < outputs; j++) z[r * stride + j] *= factor;
    }
  }

  // Add the weight of the rows whose labels are all right, or the squared error of each output.
  INLINE void hits(const T* scores, double* out, int64_t outputs, int64_t stride) {
    if (job.loss == LOGISTIC) {
      out[0] += sum_of<double>(rows, [=](int64_t r) {
        bool right = true;
        for (int64_t i = r * stride; i < r * stride + outputs; i++) right &= (scores[i] > 0) == (target[i] > T(0.5));
        return right ? static_cast<double>(weight[r]) : 0;
      });
      return;
    }
    const bool rate = job.loss == POISSON;
    for (int64_t j = 0; j < outputs; j++) {
      out[j] += sum_of<double>(rows, [=](int64_t r) {
        const T score = scores[r * stride + j];
        return static_cast<double>(weight[r]) * square(static_cast<double>((rate ? exponential(score) : score) - target[r * stride + j]));
      });
    }
  }

  // Cross-entropy -sum_c t_c log softmax(z)_c, whose gradient is softmax(z) - t. The largest score is subtracted first.
  void softmax_loss(T* z, double* log) {
    const int64_t classes = job.widths[layers];
    const T smoothing = training ? T(job.smoothing[k]) : T(0), level = smoothing / T(classes);
    for (int64_t r = 0; r < rows; r++) {
      T *row = z + r * score_stride, top = row[0], all = 0;
      const int64_t code = codes[r];
      bool right = true;  // the first of equal scores counts
      for (int64_t c = 0; c < classes; c++) {
        top = row[c] > top ? row[c] : top;
        right &= c < code ? row[code] > row[c] : row[code] >= row[c];
      }
      for (int64_t c = 0; c < score_stride; c++) row[c] -= top;
      for (int64_t c = 0; c < classes; c++) all += row[c];
      losses[r] = (1 - smoothing) * row[code] + level * all;
      log[3] += right ? static_cast<double>(weight[r]) : 0;
    }
    INDEPENDENT
    for (int64_t i = 0; i < rows * score_stride; i++) z[i] = exponential(z[i]);
    for (int64_t r = 0; r < rows; r++) {
      T *row = z + r * score_stride, sum = 0;
      for (int64_t c = 0; c < classes; c++) sum += row[c];
      log[0] += static_cast<double>(logarithm(sum) - losses[r]) * static_cast<double>(weight[r]);
      for (int64_t c = 0; c < classes; c++) row[c] = (row[c] / sum - level) * share[r];
      row[codes[r]] -= (1 - smoothing) * share[r];
    }
  }

  // --- backward ---

  // Write the gradient to `grad`, or add it there.
  void backward(T* grad, bool add) {
    for (int64_t l = layers - 1; l >= 0; l--) {
      const int64_t columns = l ? layer[l].in : layer[l].out;
      divide(columns, 2 * work_of(l), [=](int64_t from, int64_t to) { backward(l, grad, add, from, to); });
    }
    if (job.input_scale) scale_inputs_back();
  }

  // The same for columns `from` to `to` of the weights of layer l as stored: its inputs, or the units of the first layer.
  // With z = h W^T + bias and d the gradient with respect to z:
  //   dh = d W,   dW = d^T h,   dbias = sum of the rows of d
  void backward(int64_t l, T* grad, bool add, int64_t from, int64_t to) {
    Layer<T>& y = layer[l];
    const T *h = l ? layer[l - 1].a + from : x, *d = y.a, one = 1;
    T* d_weight = grad + (y.weight - values);
    if (l) {
      product<T>(rows, to - from, y.out, d, y.out_stride, 1, y.weight + from, y.in, nullptr, d_input + from, y.in_stride, false);
      product<T>(y.out, to - from, rows, d, 1, y.out_stride, h, y.in_stride, nullptr, d_weight + from, y.in, true, add);
    } else {
      product<T>(y.in, to - from, rows, h, 1, y.in_stride, d + from, y.out_stride, nullptr, d_weight + from, y.out, true, add);
    }
    if (job.bias && from == 0) {
      product<T>(1, y.out, rows, &one, 0, 0, d, y.out_stride, nullptr, grad + (y.bias - values), y.out, true, add);
    }
    if (l == 0) return;
    in_rows(layer[l - 1], from, to, [&](int64_t at, int64_t n) {
      T *__restrict below = layer[l - 1].a + at, *__restrict slope = layer[l - 1].slope + at, *__restrict dh = d_input + at;
      for (int64_t i = 0; i < n; i++) below[i] = dh[i] * slope[i];
    });
    if (job.batch_norm) normalize_back(layer[l - 1], from, to);
  }

  // Turn d, the gradient with respect to the output of batch norm, into that with respect to its input z:
  //   gain inverse (d - w (sum(d) + n sum(d n)) / W),   n: the normalized z, w: the weights of the rows, W: their sum
  void normalize_back(Layer<T>& y, int64_t from, int64_t to) {
    T *d = y.a, *gain_grad = grad(y.gain), *shift_grad = grad(y.shift), *inverse = y.inverse;
    const T *normal = y.normal, *gain = y.gain, over = T(1 / divisor);
    sum_rows(y, from, to, shift_grad, [=](int64_t, int64_t i) { return d[i]; });
    sum_rows(y, from, to, gain_grad, [=](int64_t, int64_t i) { return d[i] * normal[i]; });
    for (int64_t r = 0; r < rows; r++) {
      const int64_t row = r * y.out_stride;
      const T w = weight[r] * over;
      INDEPENDENT
      for (int64_t j = from; j < to; j++) {
        const T through = d[row + j] - w * (shift_grad[j] + normal[row + j] * gain_grad[j]);
        d[row + j] = through * (gain[j] * inverse[j]);
      }
    }
  }

  // --- update ---

  // Return whether step s is just w - rate g: it is then made during the backward pass, which saves writing and reading g.
  bool is_plain_sgd(int64_t s) const {
    const double* rates = job.coefficients + 3 * s * job.parts * job.networks + k;
    bool plain = job.optimizer == SGD && !job.batch_norm && !job.input_scale;
    plain = plain && job.l1[k] == 0 && job.l2[k] == 0 && job.clip[k] == __builtin_inf();
    for (int64_t p = 0; plain && p < job.parts; p++) {
      const double* hyper = job.hyper + 4 * (p * job.networks + k);  // momentum and weight decay
      plain = hyper[0] == 0 && hyper[3] == 0 && rates[3 * p * job.networks] == rates[0];
    }
    return plain;
  }

  // Update the parameters: g += l2 w + l1 sign(w) for weight matrices; clip |g|; apply the optimizer. See manynets/optim/update.py.
  void update(int64_t s, double* log) {
    const Layer<T>& top = layer[layers - 1];
    const int64_t n = padded<T>(job.parameters), matrices = top.weight - values + top.in * top.out;
    T *__restrict w = values, *__restrict g = grads;
    const double l1 = job.l1[k], l2 = job.l2[k], scale = job.penalty_scale ? job.penalty_scale[s * job.networks + k] : 1;
    if (l1 != 0 || l2 != 0) {
      const double size = l1 == 0 ? 0 : sum_of<double>(matrices, [=](int64_t i) { return static_cast<double>(absolute(w[i])); });
      log[2] = l1 * size + 0.5 * l2 * sum_of<double>(matrices, [=](int64_t i) { return square(w[i]); });
      const T first = T(l1 * scale), second = T(l2 * scale);
      for (int64_t i = 0; i < matrices; i++) g[i] += second * w[i] + (w[i] > 0 ? first : w[i] < 0 ? -first : T(0));
    }
    if (job.clip[k] < __builtin_inf()) {
      const double squares = sum_of<double>(job.parameters, [=](int64_t i) { return square(g[i]); });
      const double factor = job.clip[k] / (__builtin_sqrt(squares) + CLIP_EPS);
      for (int64_t i = 0; i < n && factor < 1; i++) g[i] *= T(factor);
    }
    for (int64_t p = 0, start = 0; p < job.parts; start = job.part_ends[p++]) {
      const double* hyper = job.hyper + 4 * (p * job.networks + k);
      const double* coefficients = job.coefficients + 3 * (s * job.parts + p) * job.networks + k;
      const int64_t end = p == job.parts - 1 ? n : job.part_ends[p];
      const double root = coefficients[job.networks], more = coefficients[2 * job.networks];
      divide(end - start, COST_OF_UPDATE * static_cast<double>(end - start), [=](int64_t from, int64_t to) {
        optimize(start + from, to - from, hyper, T(coefficients[0]), root, more);
      });
    }
  }

  // Update n parameters, from number `start` on. rate, root and more: the coefficients of the step.
  void optimize(int64_t start, int64_t n, const double* hyper, T rate, double root, double more) {
    T *__restrict w = values + start, *__restrict g = grads + start;
    T *__restrict u = state[0] ? state[0] + start : nullptr, *__restrict v = state[1] ? state[1] + start : nullptr;
    const T pull = T(hyper[3]);
    for (int64_t i = 0; hyper[3] != 0 && job.optimizer != ADAMW && job.optimizer != LION && i < n; i++) g[i] += pull * w[i];
    const T eps = T(hyper[2]), decay = T(hyper[0]), gain = T(1 - hyper[0]);  // for the first moment, or for RMSprop's squares
    const T decay2 = T(hyper[1]), gain2 = T(1 - hyper[1]);
    switch (job.optimizer) {
      case SGD: {
        const T before = job.lr_in_velocity ? rate : T(1), after = job.lr_in_velocity ? T(1) : rate;
        for (int64_t i = 0; !u && i < n; i++) w[i] -= rate * g[i];
        for (int64_t i = 0; u && i < n; i++) {
          u[i] = decay * u[i] + before * g[i];
          w[i] -= after * (job.nesterov ? before * g[i] + decay * u[i] : u[i]);
        }
        return;
      }
      case ADAM:  // rate = lr / (1 - beta1^t), root = sqrt(1 - beta2^t), more: 1 - lr weight_decay
      case ADAMW: {
        const T shrink = job.optimizer == ADAMW ? T(more) : T(1), over = T(1 / root);
        for (int64_t i = 0; i < n; i++) {
          u[i] += gain * (g[i] - u[i]);
          v[i] = decay2 * v[i] + gain2 * (g[i] * g[i]);
          w[i] = shrink * w[i] - rate * u[i] / (square_root(v[i]) * over + eps);
        }
        return;
      }
      case NADAM: {  // rate and more: of gradient and first moment, root = 1 - beta2^t
        const T ahead = T(more), over = T(1 / root);
        for (int64_t i = 0; i < n; i++) {
          u[i] += gain * (g[i] - u[i]);
          v[i] = decay2 * v[i] + gain2 * (g[i] * g[i]);
          w[i] -= (rate * g[i] + ahead * u[i]) / (square_root(v[i] * over) + eps);
        }
        return;
      }
      case RMSPROP:
        for (int64_t i = 0; i < n; i++) {
          u[i] = decay * u[i] + gain * (g[i] * g[i]);
          T move = g[i] / (square_root(u[i]) + eps);
          if (v) v[i] = move = decay2 * v[i] + move;
          w[i] -= rate * move;
        }
        return;
      case LION: {  // more: 1 - lr weight_decay; 0 * move: not finite where the gradient is not
        const T shrink = T(more);
        for (int64_t i = 0; i < n; i++) {
          const T move = u[i] + gain * (g[i] - u[i]);
          u[i] += gain2 * (g[i] - u[i]);
          w[i] = shrink * w[i] - rate * (sign(move) + 0 * move);
        }
        return;
      }
      default:  // Adagrad
        for (int64_t i = 0; i < n; i++) {
          u[i] += g[i] * g[i];
          w[i] -= rate * g[i] / (square_root(u[i]) + eps);
        }
    }
  }
};

// --- what this copy of the kernels offers -----------------------------------------------------------------------------------------

template <class T>
int64_t size_as(const Job& job, bool training) {
  Arena arena = {nullptr};
  Crew crew = {};
  const Network<T> counted(job, training, arena, crew, nullptr);
  return static_cast<int64_t>(arena.size + Arena::LINE);
}

template <class T>
void run_as(const Job& job, bool training, Crew& crew) {
  const int64_t number = __atomic_fetch_add(&crew.members, 1, __ATOMIC_RELAXED);
  char* const block = job.blocks + number * job.block_size;
  Arena arena = {block + (Arena::LINE - reinterpret_cast<uintptr_t>(block) % Arena::LINE) % Arena::LINE};
  Network<T> network(job, training, arena, crew, crew.phases ? crew.phases + number : nullptr);
  const int64_t parts = parts_of(job);
  __atomic_fetch_add(&crew.busy, 1, __ATOMIC_SEQ_CST);
  for (int64_t task; (task = __atomic_fetch_add(&crew.taken, 1, __ATOMIC_SEQ_CST)) < job.networks * parts;) {
    const int64_t k = task / parts;
    if (job.active[k]) training ? network.train(k) : network.evaluate(k, task % parts);
  }
  __atomic_fetch_sub(&crew.busy, 1, __ATOMIC_SEQ_CST);
  if (crew.phases) help(crew);
}

int64_t block_size(const Job* job, bool training) { return (job->type == 4 ? size_as<float> : size_as<double>)(*job, training); }

void run(const Job* job, bool training, Crew* crew) { (job->type == 4 ? run_as<float> : run_as<double>)(*job, training, *crew); }

}  // namespace

extern const Kernels MANYNETS_KERNELS;
const Kernels MANYNETS_KERNELS = {SET.name, run, block_size};

// --- the driver -------------------------------------------------------------------------------------------------------------------

#ifdef MANYNETS_DRIVER

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

#ifdef MANYNETS_ALL_SETS
extern const Kernels manynets_avx2, manynets_avx512;
#endif

namespace {

constexpr int64_t VERSION = 11;
constexpr double FLOPS_PER_SECOND = 2e10, SECONDS_PER_STEP = 1e-6, SECONDS_PER_DRAW = 4e-9;  // rough figures, to estimate how long a job takes
constexpr double SECONDS_PER_THREAD = 1e-4;  // of work that make another thread worth starting
constexpr double SHARED_STEP = 6e7;          // least operations in a step that threads share, about 0.5 ms
constexpr int64_t SHARED_UNITS = 128;        // of the widest layer, for each thread that shares a network
constexpr double ALONE = 20e-6;              // seconds without sharing, for each microsecond spent waiting for a thread
constexpr std::chrono::microseconds REST{50};

// Return the fastest kernels that the processor and the system can run.
const Kernels& find_kernels() {
#ifdef MANYNETS_ALL_SETS
  constexpr unsigned AVX2 = bit_AVX2 | bit_BMI2, AVX512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
  constexpr unsigned BASICS = bit_FMA | bit_OSXSAVE, WIDE = 0x06, WIDEST = 0xe6;  // registers that the system saves
  unsigned a, sets, c, d, saved;
  if (__get_cpuid(1, &a, &sets, &c, &d) && (c & BASICS) == BASICS && __get_cpuid_count(7, 0, &a, &sets, &c, &d)) {
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    const bool avx2 = (saved & WIDE) == WIDE && (sets & AVX2) == AVX2;
    if (avx2 && (saved & WIDEST) == WIDEST && (sets & AVX512) == AVX512) return manynets_avx512;
    if (avx2) return manynets_avx2;
  }
#endif
  return manynets_base;
}

const Kernels& KERNELS = find_kernels();  // once, as cpuid takes microseconds on a virtual machine

// Return whether MKL, which torch multiplies with, uses only half the width of this processor's vectors: it does on AMD's from Zen 5 on.
bool mkl_is_narrow() {
#ifdef MANYNETS_ALL_SETS
  constexpr unsigned AUTHENTIC_AMD = 0x68747541, ZEN5 = 0x1a;  // the first four letters; the family
  unsigned a, vendor, c, d, b;
  if (&KERNELS != &manynets_avx512 || !__get_cpuid(0, &a, &vendor, &c, &d) || vendor != AUTHENTIC_AMD) return false;
  return __get_cpuid(1, &a, &b, &c, &d) && (a >> 8 & 0xf) + (a >> 20 & 0xff) >= ZEN5;
#else
  return false;
#endif
}

const bool NARROW_MKL = mkl_is_narrow();

// The floating-point mode of this thread: a register in which the bits FLUSH make denormal numbers count as zero.
#if defined(__x86_64__) || defined(_M_X64)
constexpr uint64_t FLUSH = 0x8040;
uint64_t get_mode() { return _mm_getcsr(); }
void set_mode(uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
constexpr uint64_t FLUSH = 1 << 24;
uint64_t get_mode() {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
void set_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
constexpr uint64_t FLUSH = 0;
uint64_t get_mode() { return 0; }
void set_mode(uint64_t) {}
#endif

// Move a new thread away from the processor of this one. For a while after this thread has slept, Linux places new threads on its
// processor, where they take turns while other processors are idle.
#ifdef __linux__
void move_away(std::thread& other) {
  cpu_set_t allowed, rest;
  if (sched_getaffinity(0, sizeof allowed, &allowed)) return;
  rest = allowed;
  CPU_CLR(sched_getcpu(), &rest);
  if (CPU_COUNT(&rest) == 0) return;
  pthread_setaffinity_np(other.native_handle(), sizeof rest, &rest);
  pthread_setaffinity_np(other.native_handle(), sizeof allowed, &allowed);  // it stays where it is, but may be moved again
}
#else
void move_away(std::thread&) {}
#endif

// Call work() on this thread and on others: at most `most` in all, no more than there are tasks, and no more than is worthwhile for work
// that takes so many seconds on one thread. There is no pool, so nothing idles, and a forked child is safe.
template <class F>
void on_threads(int64_t most, int64_t tasks, double seconds, F work) {
  const int64_t useful = static_cast<int64_t>(seconds / SECONDS_PER_THREAD);
  std::vector<std::thread> others;
  try {
    for (int64_t i = 1; i < most && i < tasks && i < useful; i++) {
      others.emplace_back(work);
      move_away(others.back());
    }
  } catch (...) {  // fewer threads, then
  }
  work();
  for (std::thread& other : others) other.join();
}

std::atomic<double> busy_until{0};  // until when this process shares no steps

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
void rest() { std::this_thread::sleep_for(REST); }

// The words of numpy.random.Philox(key=[key, 0]), in halves. Source: Salmon et al. 2011, with ten rounds on four words. Several blocks are
// computed at a time, because a processor can overlap them.
struct Philox {
  uint64_t key, counter = 0;
  static constexpr int BLOCKS = 8, HALVES = 8 * BLOCKS;
  uint32_t halves[HALVES] = {};

  void fill() {
    __extension__ using Wide = unsigned __int128;
    for (int b = 0; b < BLOCKS; b++) {
      uint64_t c[4] = {++counter, 0, 0, 0}, k0 = key, k1 = 0;
      UNROLL
      for (int round = 0; round < 10; round++) {
        const Wide first = static_cast<Wide>(0xD2E7470EE14C6C93u) * c[0], second = static_cast<Wide>(0xCA5A826395121157u) * c[2];
        c[0] = static_cast<uint64_t>(second >> 64) ^ c[1] ^ k0, c[1] = static_cast<uint64_t>(second);
        c[2] = static_cast<uint64_t>(first >> 64) ^ c[3] ^ k1, c[3] = static_cast<uint64_t>(first);
        k0 += 0x9E3779B97F4A7C15u, k1 += 0xBB67AE8584CAA73Bu;
      }
      for (int i = 0; i < 8; i++) halves[8 * b + i] = static_cast<uint32_t>(c[i / 2] >> (i % 2 * 32));
    }
  }
};

// Write numpy.random.Generator(Philox(key=[key, 0])).permutation(rows): a Fisher-Yates shuffle from the end, which masks each random word
// by the smallest 2^n - 1 that covers the last row. A word beyond the last row counts as rejected: the row is swapped with itself, which
// costs less than a branch that cannot be predicted.
void permute(uint64_t key, int64_t rows, int64_t* out) {
  Philox random = {key};
  int used = Philox::HALVES;
  for (int64_t i = 0; i < rows; i++) out[i] = i;
  for (int64_t i = rows - 1; i > 0;) {
    const int64_t mask = static_cast<int64_t>(~uint64_t(0) >> __builtin_clzll(static_cast<uint64_t>(i)));
    while (i > mask / 2) {  // until the next mask
      if (used == Philox::HALVES) random.fill(), used = 0;
      const int64_t word = random.halves[used++] & mask, fits = word <= i, j = fits ? word : i, swapped = out[j];
      out[j] = out[i];
      out[i] = swapped;
      i -= fits;
    }
  }
}

}  // namespace

EXPORT int64_t manynets_abi() { return static_cast<int64_t>(sizeof(Job)) * 1000 + VERSION; }
EXPORT const char* manynets_isa() { return KERNELS.name; }
EXPORT int64_t manynets_narrow_mkl() { return NARROW_MKL; }

// Return how many bytes each thread needs for a job that trains (1) or evaluates (0). Only jobs with the same networks and batches may share
// blocks.
EXPORT int64_t manynets_block_size(const Job* job, int64_t training) { return KERNELS.block_size(job, training); }

// Train (1) or evaluate (0) the networks of a job.
EXPORT void manynets_run(const Job* job, int64_t training) {
  int64_t networks = 0;
  for (int64_t k = 0; k < job->networks; k++) networks += job->active[k] != 0;
  const double rows = static_cast<double>(training ? job->count * job->batch_size : job->count);
  const double steps = training ? static_cast<double>(job->count) : rows / EVALUATED;
  const double flops = (training ? 6 : 1) * rows * static_cast<double>(job->parameters);  // a forward pass by itself runs faster than that
  const double seconds = flops / FLOPS_PER_SECOND + steps * SECONDS_PER_STEP;
  const int64_t widest = *std::max_element(job->widths + 1, job->widths + job->layers + 1);
  const bool shared = job->threads > 1 && flops >= SHARED_STEP * steps && !job->scores && now() >= busy_until;
  const int64_t tasks = networks * (shared ? std::max(widest / SHARED_UNITS, int64_t{1}) : parts_of(*job));
  std::vector<Phase> phases(shared ? static_cast<size_t>(job->threads) : 0);
  Crew crew = {0, 0, 0, shared ? phases.data() : nullptr, job->threads, 0, &now, &rest};
  on_threads(job->threads, tasks, seconds * static_cast<double>(networks), [&]() noexcept {
    const uint64_t mode = get_mode();
    set_mode(mode | FLUSH);
    KERNELS.run(job, training, &crew);
    set_mode(mode);
  });
  if (crew.stalled > 0) busy_until = now() + ALONE * static_cast<double>(crew.stalled);
}

// out[i * stride + r] = the r-th row of the order that belongs to keys[i]
EXPORT void manynets_permutations(const uint64_t* keys, int64_t count, int64_t rows, int64_t* out, int64_t stride, int64_t threads) {
  std::atomic<int64_t> next{0};
  on_threads(threads, count, static_cast<double>(count * rows) * SECONDS_PER_DRAW, [&]() noexcept {
    for (int64_t i; (i = next.fetch_add(1)) < count;) permute(keys[i], rows, out + i * stride);
  });
}

#endif
