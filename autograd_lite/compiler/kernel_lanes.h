/* One block of a program: ROWS rows side by side, LANES of them in a SIMD register and WIDE registers in line.

   kernel.c includes this file once for each kind of block. It defines

       KIND       the name of the kind
       WIDE       1, 2, 8 or 32

   and includes the header of an instruction set, which defines the following and then includes this file:

       LANES      1, 2, 4 or 8
       REGISTERS  how many SIMD registers the machine has
       TARGET     the attribute that lets the C compiler use the instruction set
       FMA        x * y + z, rounded once where the machine can
       SQRT       the square root in each lane
       ANY        whether a mask has a lane set

   For kernel.c this file defines what a Kind lists: N(FUNCTIONS), N(run_rows), N(reduction_of_one) and
   N(outer_product), where N(name) is name_KIND. The other files also call routines of the kind `plain`. A V is LANES
   numbers and fills one register; every operation on a V acts on all of them. */

#define N(name) PASTE(name, KIND)
#define V N(Lanes)
#define M N(Mask)
#define Bits N(Bits)
#define ROWS (LANES * WIDE)

#if LANES == 1
#define SPLAT(x) (x)
#define SELECT(mask, x, y) ((mask) ? (x) : (y))
#define LANE(x, l) (x)
typedef double V;
typedef double N(Unaligned);
typedef int64_t M;
#else
#define SPLAT(x) ((x) - (V){0})
#define SELECT(mask, x, y) N(select)(mask, x, y)
#define LANE(x, l) ((x)[l])
typedef double V __attribute__((vector_size(8 * LANES), may_alias));
typedef int64_t M __attribute__((vector_size(8 * LANES), may_alias));
typedef uint64_t Bits __attribute__((vector_size(8 * LANES), may_alias));
typedef double N(Unaligned) __attribute__((vector_size(8 * LANES), may_alias, aligned(8)));

#if LANES == 8
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s)
#elif LANES == 4
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#else
#define EACH_LANE(f, s) f(0, s), f(1, s)
#endif

INLINE V N(select)(M mask, V x, V y) {
    return (V)((mask & (M)x) | (~mask & (M)y));
}

INLINE bool N(any)(M mask) {
    int64_t any = 0;
    for (int l = 0; l < LANES; l++)
        any |= mask[l];
    return any != 0;
}
#endif

/* --- Functions of a number ---------------------------------------------------------------------------------------- */

/* Set z = f(x) with the function f of the C library, in the lanes of `mask`. */
#define LIBRARY(f, mask)                                                                                               \
    for (int l = 0; l < LANES; l++)                                                                                    \
        if (LANE(mask, l))                                                                                             \
            LANE(z, l) = f(LANE(x, l));

#define FUNCTION_OF_EACH(name, parameters, number)                                                                     \
    INLINE V N(name) parameters {                                                                                      \
        V z = x;                                                                                                       \
        for (int l = 0; l < LANES; l++)                                                                                \
            LANE(z, l) = number;                                                                                       \
        return z;                                                                                                      \
    }
#define BY_LIBRARY(f) FUNCTION_OF_EACH(f, (V x), f(LANE(x, l)))
#define BY_LIBRARY_OF_TWO(name, f) FUNCTION_OF_EACH(name, (V x, V y), f(LANE(x, l), LANE(y, l)))
BY_LIBRARY(tan) BY_LIBRARY(asin) BY_LIBRARY(acos) BY_LIBRARY(atan)
BY_LIBRARY(sinh) BY_LIBRARY(cosh) BY_LIBRARY(sqrt) BY_LIBRARY(asinh) BY_LIBRARY(acosh) BY_LIBRARY(atanh)
BY_LIBRARY(exp2) BY_LIBRARY(log2) BY_LIBRARY(log10) BY_LIBRARY(cbrt) BY_LIBRARY(floor) BY_LIBRARY(ceil) BY_LIBRARY(rint)
BY_LIBRARY_OF_TWO(hypot, hypot) BY_LIBRARY_OF_TWO(atan2, atan2) BY_LIBRARY_OF_TWO(mod, python_mod)
BY_LIBRARY_OF_TWO(floordiv, python_floordiv)

#if LANES == 1
BY_LIBRARY(fabs) BY_LIBRARY(exp) BY_LIBRARY(expm1) BY_LIBRARY(log) BY_LIBRARY(log1p) BY_LIBRARY(tanh)
BY_LIBRARY(erf) BY_LIBRARY(sin) BY_LIBRARY(cos)
FUNCTION_OF_EACH(log1p_of_01, (V x), log1p(x)) BY_LIBRARY_OF_TWO(pow, pow)
#else
BY_LIBRARY_OF_TWO(pow_of_each, pow)

INLINE V N(fabs)(V x) {
    return (V)((M)x & INT64_MAX);
}

/* c[0] + c[1] x + ... + c[n-1] x^(n-1) */
INLINE V N(polynomial)(const double *c, int n, V x) {
    V z = SPLAT(c[n - 1]);
    UNROLL
    for (int i = n - 2; i >= 0; i--)
        z = FMA(z, x, SPLAT(c[i]));
    return z;
}

/* Adding this to a number rounds it to an integer, which the lowest bits of the sum then hold. */
#define ROUNDER 0x1.8p52

/* 2^k for an integer k from -1022 to 1023. */
INLINE V N(power_of_2)(V k) {
    return (V)(((Bits)(k + ROUNDER) << 52) + 0x3FF0000000000000);
}

/* exp(r) - 1, where x = k log 2 + r with |r| <= log(2) / 2. */
INLINE V N(expm1_of_rest)(V x, V *k) {
    *k = FMA(x, SPLAT(LOG2_E), SPLAT(ROUNDER)) - ROUNDER;
    V r = FMA(*k, SPLAT(-LOG_2_LOW), FMA(*k, SPLAT(-LOG_2_HIGH), x));
    return FMA(r * r, N(polynomial)(EXPM1, 10, r), r);
}

/* 0 below -746 and infinite above 710. Multiplies by 2^k in two steps, so that neither end is reached too early. */
INLINE V N(exp_at_the_ends)(V x) {
    V k;
    x = SELECT(x < -746, SPLAT(-746.0), x);
    x = SELECT(x > 710, SPLAT(710.0), x);
    V p = N(expm1_of_rest)(x, &k);
    V half = FMA(k, SPLAT(0.5), SPLAT(ROUNDER)) - ROUNDER;
    return (1 + p) * N(power_of_2)(half) * N(power_of_2)(k - half);
}

INLINE V N(exp)(V x) {
    V k, p = N(expm1_of_rest)(x, &k);
    M far = ~(N(fabs)(x) <= 707);
    if (ANY(far))
        return N(exp_at_the_ends)(x);
    return (1 + p) * N(power_of_2)(k);
}

/* exp(x) - 1 for x <= 700. */
INLINE V N(expm1_of_small)(V x) {
    V k;
    V p = N(expm1_of_rest)(SELECT(x < -60, SPLAT(-60.0), x), &k);
    V scale = N(power_of_2)(k);
    return FMA(scale, p, scale - 1);
}

INLINE V N(expm1)(V x) {
    V z = SELECT(x == 0, x, N(expm1_of_small)(x));
    M large = x > 700;
    if (ANY(large))
        LIBRARY(expm1, large)
    return z;
}

/* expm1(-2|x|) = -2 tanh|x| / (1 + tanh|x|) */
INLINE V N(tanh)(V x) {
    V t = N(expm1_of_small)(-2 * N(fabs)(x));
    return (V)((M)N(fabs)(t / (2 + t)) | ((M)x & INT64_MIN));
}

/* The Taylor series of erf around r, the multiple of 1 / 128 nearest to |x|, with d = |x| - r:
   erf(r) + slope(r) d (1 - r d + (2 r^2 - 1) / 3 d^2 - ...). The polynomials in r are Hermite polynomials. From 6 on,
   erf is 1. */
#define VALUE_OF_ERF(l, at) ERF[at[l]].value
#define SLOPE_OF_ERF(l, at) ERF[at[l]].slope
INLINE V N(erf)(V x) {
    V t = N(fabs)(x);
    t = SELECT(t < 6, t, SPLAT(6.0));
    V rounded = FMA(t, SPLAT(128.0), SPLAT(ROUNDER)), r = (rounded - ROUNDER) * (1.0 / 128), d = t - r, q = r * r;
    Bits at = (Bits)rounded & 1023;
    V value = {EACH_LANE(VALUE_OF_ERF, at)}, slope = {EACH_LANE(SLOPE_OF_ERF, at)};
    V z = FMA(d, SPLAT(-1 / 42.0), r * FMA(q, FMA(q, SPLAT(-2 / 45.0), SPLAT(2 / 9.0)), SPLAT(-1 / 6.0)));
    z = FMA(z, d, FMA(q, FMA(q, SPLAT(2 / 15.0), SPLAT(-2 / 5.0)), SPLAT(1 / 10.0)));
    z = FMA(z, d, r * FMA(q, SPLAT(-1 / 3.0), SPLAT(1 / 2.0)));
    z = FMA(z, d, FMA(q, SPLAT(2 / 3.0), SPLAT(-1 / 3.0)));
    z = FMA(z, d, -r) * d;
    slope *= d;
    z = value + FMA(slope, z, slope);
    z = SELECT(x == x, z, x);
    return (V)((M)z | ((M)x & INT64_MIN));
}

/* The sine and the cosine of r, for x = n pi / 2 + r. The last two bits of `quadrant` are those of n. */
typedef struct {
    V sine, cosine;
    Bits quadrant;
} N(Turn);

/* For |x| <= FAR. The products of n and the first two parts of pi / 2 are exact, so that r + tail is x - n pi / 2, with
   |r| <= pi / 4. */
INLINE N(Turn) N(turn)(V x) {
    V rounded = FMA(x, SPLAT(TWO_BY_PI), SPLAT(ROUNDER)), n = rounded - ROUNDER;
    V first = x - n * HALF_PI[0], second = n * HALF_PI[1], rest = first - second, taken = first - rest;
    V lost = (first - (rest + taken)) + (taken - second) - n * HALF_PI[2];
    V r = rest + lost, tail = (rest - r) + lost, z = r * r;
    V sine = r + FMA(r * z, N(polynomial)(SINE, 7, z), tail * (1 - 0.5 * z));
    V half = 0.5 * z, one = 1 - half;
    V cosine = one + ((1 - one - half) + FMA(z * z, N(polynomial)(COSINE, 6, z), -(r * tail)));
    return (N(Turn)){sine, cosine, (Bits)rounded};
}

INLINE V N(sine_of_turn)(V x, N(Turn) turn) {
    M odd = (M)(turn.quadrant << 63) < 0;
    V z = (V)((Bits)SELECT(odd, turn.cosine, turn.sine) ^ (turn.quadrant & 2) << 62);
    z = SELECT(x == 0, x, z);
    M far = ~(N(fabs)(x) <= FAR);
    if (ANY(far))
        LIBRARY(sin, far)
    return z;
}

INLINE V N(cosine_of_turn)(V x, N(Turn) turn) {
    M odd = (M)(turn.quadrant << 63) < 0;
    V z = (V)((Bits)SELECT(odd, turn.sine, turn.cosine) ^ ((turn.quadrant + 1) & 2) << 62);
    M far = ~(N(fabs)(x) <= FAR);
    if (ANY(far))
        LIBRARY(cos, far)
    return z;
}

INLINE V N(sin)(V x) {
    return N(sine_of_turn)(x, N(turn)(x));
}

INLINE V N(cos)(V x) {
    return N(cosine_of_turn)(x, N(turn)(x));
}

/* For normal x: x = 2^k m with sqrt(1/2) <= m < sqrt(2), and log(m) = 2 atanh(s) with s = (m - 1) / (m + 1). */
INLINE V N(log_of_normal)(V x) {
    Bits biased = ((Bits)x + (0x3FF0000000000000 - SQRT_HALF)) >> 52;
    V k = (V)(biased | 0x4330000000000000) - (0x1p52 + 1023);
    V m = (V)((Bits)x - ((biased - 1023) << 52));
    V f = m - 1, s = f / (m + 1), z = s * s;
    V tail = FMA(s * z, N(polynomial)(ATANH, 7, z), k * LOG_2_LOW);
    return FMA(k, SPLAT(LOG_2_HIGH), FMA(s, SPLAT(2.0), tail));
}

INLINE V N(log)(V x) {
    V z = N(log_of_normal)(x);
    M hostile = ~((x >= DBL_MIN) & (x <= DBL_MAX));
    if (ANY(hostile))
        LIBRARY(log, hostile)
    return z;
}

/* For 0 <= x <= 1, or nan. The second term corrects the rounding error of 1 + x. */
INLINE V N(log1p_of_01)(V x) {
    V u = 1 + x;
    return N(log_of_normal)(u) + (x - (u - 1)) / u;
}

INLINE V N(log1p)(V x) {
    V z = SELECT(x == 0, x, N(log1p_of_01)(x));
    M hostile = ~((x > -1) & (x <= DBL_MAX));
    if (ANY(hostile))
        LIBRARY(log1p, hostile)
    return z;
}

/* x^n by repeated squaring. */
INLINE V N(power)(V x, int n) {
    V base = n < 0 ? (V)(1 / x) : x;
    V z = SPLAT(1.0);
    for (n = abs(n); n; n >>= 1, base *= base)
        if (n & 1)
            z *= base;
    return z;
}

/* The exponent is nearly always the same constant in all lanes, and an integer or an integer plus 1/2. */
INLINE V N(pow)(V x, V y) {
    double n = y[0], twice = 2 * n;
    M differs = y != SPLAT(n);
    if (!ANY(differs) && fabs(n) <= 32 && twice == rint(twice)) {
        if (n == rint(n))
            return N(power)(x, (int)n);
        x = SELECT(x == -INFINITY, SPLAT(INFINITY), x + 0.0); /* as in pow; -0.0 + 0.0 is 0.0 */
        V root = SQRT(x);
        return N(power)(x, (int)n) * (n < 0 ? (V)(1 / root) : root);
    }
    return N(pow_of_each)(x, y);
}
#endif

INLINE V N(sigmoid)(V x) {
    V e = N(exp)(-N(fabs)(x));
    return SELECT(x >= 0, SPLAT(1.0), e) / (1 + e);
}

INLINE V N(softplus)(V x) {
    return SELECT(x <= 0, SPLAT(0.0), x) + N(log1p_of_01)(N(exp)(-N(fabs)(x)));
}

/* --- Transposing square blocks ------------------------------------------------------------------------------------ */

/* Exchange the upper right and the lower left s x s numbers of each 2s x 2s block. */
#define EXCHANGE(s)                                                                                                    \
    UNROLL for (int i = 0; i < LANES; i++)                                                                             \
        if (!(i & s)) {                                                                                                \
            V upper = block[i], lower = block[i + s];                                                                  \
            block[i] = SHUFFLE(upper, lower, EACH_LANE(FROM_LEFT, s));                                                 \
            block[i + s] = SHUFFLE(upper, lower, EACH_LANE(FROM_RIGHT, s));                                            \
        }
#define FROM_LEFT(l, s) ((l) & (s) ? ((l) - (s) + LANES) : (l))
#define FROM_RIGHT(l, s) ((l) & (s) ? (l) + LANES : ((l) + (s)))

/* Transpose a block of LANES x LANES numbers in place. */
INLINE void N(transpose)(V *block) {
#if LANES > 1
    EXCHANGE(1)
#endif
#if LANES > 2
    EXCHANGE(2)
#endif
#if LANES > 4
    EXCHANGE(4)
#endif
    (void)block;
}

/* --- Operands ----------------------------------------------------------------------------------------------------- */

/* Register `w` of the WIDE registers at an address; a shared number fills all lanes. */
INLINE V N(load)(const double *space, ptrdiff_t address, bool shared, int w) {
    if (shared)
        return SPLAT(space[address]);
    return ((const V *)space)[address * WIDE + w];
}

/* Copy an operand at `count` points of the J x I nest, from point `first` on, to `line`. */
ROUTINE NOINLINE void N(copy)(const Operand *x, const Workspace *workspace, ptrdiff_t I, ptrdiff_t first,
                              ptrdiff_t count, V *line) {
    const double *space = x->shared ? workspace->shared : workspace->rows;
    const bool shared = x->shared;
    if (x->table) {
        const int32_t *table = x->table + first;
        for (ptrdiff_t p = 0; p < count; p++)
            for (int w = 0; w < WIDE; w++)
                line[p * WIDE + w] = N(load)(space, table[p], shared, w);
        return;
    }
    if (x->flat) /* treat it as one line */
        I = first + count;
    ptrdiff_t j = first / I, i = first - j * I, inner = x->step;
    for (ptrdiff_t rest = count, length; rest; rest -= length, line += length * WIDE, i = 0, j++) {
        ptrdiff_t address = x->start + j * x->outer + i * inner;
        length = rest < I - i ? rest : I - i;
        for (ptrdiff_t p = 0; p < length; p++, address += inner)
            for (int w = 0; w < WIDE; w++)
                line[p * WIDE + w] = N(load)(space, address, shared, w);
    }
}

/* An operand at `count` points from `first` on: in memory if it is in rows (with LANES = 1 also if it is shared) and
   its points have a constant distance, else a copy in `copied`. A shared number that is the same at all points is
   copied once, with step 0. */
INLINE Line N(in_line)(const Operand *x, const Workspace *workspace, ptrdiff_t I, ptrdiff_t first, ptrdiff_t count,
                       V *copied) {
    if (x->flat && (!x->shared || LANES == 1)) {
        const double *space = x->shared ? workspace->shared : workspace->rows;
        return (Line){space + (x->start + first * x->step) * ROWS, x->step * ROWS};
    }
    if (x->flat && x->step == 0) {
        const V number = SPLAT(workspace->shared[x->start]);
        UNROLL
        for (int w = 0; w < WIDE; w++)
            copied[w] = number;
        return (Line){(const double *)copied, 0};
    }
    N(copy)(x, workspace, I, first, count, copied);
    return (Line){(const double *)copied, ROWS};
}

/* --- Instructions ------------------------------------------------------------------------------------------------- */

/* The routine of a POINTWISE instruction, one for each row of the table: see Function. An operand that the primitive
   lacks is read from another one's line, and not used. */
#define FUNCTION(name, arity, formula)                                                                                 \
    ROUTINE NOINLINE void N(do_##name)(const Line *lines, ptrdiff_t points, ptrdiff_t wide, double *z,                 \
                                       ptrdiff_t step) {                                                               \
        const Line cs = lines[0], xs = lines[arity == 3], ys = lines[arity - 1];                                       \
        for (ptrdiff_t p = 0; p < points; p++)                                                                         \
            ONCE for (ptrdiff_t w = 0; w < wide; w++) {                                                                \
                V c = N(at)(cs, p, w), x = N(at)(xs, p, w), y = N(at)(ys, p, w);                                       \
                (void)c, (void)y;                                                                                      \
                *(N(Unaligned) *)(z + p * step + w * LANES) = formula;                                                 \
            }                                                                                                          \
    }

/* Register `w` of point `p` of a line. Lines on a block of one row begin at any number, and are not aligned. */
INLINE V N(at)(Line line, ptrdiff_t p, ptrdiff_t w) {
    return *(const N(Unaligned) *)(line.first + p * line.step + w * LANES);
}
PRIMITIVES(FUNCTION, FUNCTION)

#define DO(name, ...) N(do_##name),
static const Function N(FUNCTIONS)[] = {PRIMITIVES(DO, DO)};
#undef DO

#if LANES == 1
#include "kernel_row.h"
#else
/* Run a POINTWISE instruction, CHUNK points at a time. */
ROUTINE void N(pointwise)(const Instruction *q, const Workspace *workspace, V *dst) {
    for (ptrdiff_t first = 0; first < q->width; first += CHUNK) {
        const ptrdiff_t count = q->width - first < CHUNK ? q->width - first : CHUNK;
        bool dense = true;
        Line lines[3];
        for (int a = 0; a < q->arity; a++) {
            V *copied = (V *)workspace->lines + a * CHUNK * WIDE;
            lines[a] = N(in_line)(q->operands + a, workspace, q->I, first, count, copied);
            dense = dense && lines[a].step == ROWS;
        }
        N(FUNCTIONS)[q->opcode](lines, dense ? 1 : count, dense ? count * WIDE : WIDE, (double *)(dst + first * WIDE),
                                ROWS);
    }
}
#endif

/* The body of `reduction`, which passes constants for the flags. */
INLINE void N(reduce)(bool product, bool fused, bool listed, bool x_shared, bool y_shared, const Instruction *q,
                      const Workspace *workspace, const V *init, ptrdiff_t step, V *dst) {
    enum { CHAINS = WIDE <= 2 ? 4 : 1 }; /* independent sums, so that additions overlap */
    const Operand *x = q->operands + 1, *y = x + product;
    const double *xs = x_shared ? workspace->shared : workspace->rows;
    const double *ys = y_shared ? workspace->shared : workspace->rows;
    const ptrdiff_t K = q->K;
#define ADD(z, k)                                                                                                      \
    UNROLL for (int w = 0; w < WIDE; w++) {                                                                            \
        const V a = N(load)(xs, listed ? x->table[x_at + (k)] : x_at + (k) * x->depth, x_shared, w);                   \
        const V b = product ? N(load)(ys, listed ? y->table[y_at + (k)] : y_at + (k) * y->depth, y_shared, w) : a;     \
        z[w] = !product ? (V)(z[w] + a) : fused ? (V)FMA(a, b, z[w]) : (V)(z[w] + a * b);                              \
    }
    for (ptrdiff_t j = 0; j < q->J; j++)
        for (ptrdiff_t i = 0; i < q->I; i++) {
            const ptrdiff_t n = j * q->dj + i * q->di;
            const ptrdiff_t x_at = listed ? n * K : x->start + j * x->outer + i * x->inner;
            const ptrdiff_t y_at = listed ? n * K : y->start + j * y->outer + i * y->inner;
            V z[CHAINS][WIDE];
            for (int s = 0; s < CHAINS; s++)
                UNROLL for (int w = 0; w < WIDE; w++)
                    z[s][w] = s ? (V)SPLAT(-0.0) : init[n * step + w];
            ptrdiff_t k = 0;
            for (; K >= 2 * CHAINS && k + CHAINS <= K; k += CHAINS)
                UNROLL for (int s = 0; s < CHAINS; s++)
                    ADD(z[s], k + s)
            for (; k < K; k++)
                ADD(z[0], k)
            UNROLL for (int w = 0; w < WIDE; w++) {
                for (int s = 1; s < CHAINS; s++)
                    z[0][w] += z[s][w];
                dst[n * WIDE + w] = z[0][w];
            }
        }
#undef ADD
}

/* Run a REDUCTION, or a MATRIX_PRODUCT as one; `init` has the numbers to start from, `step` V apart. */
ROUTINE NOINLINE void N(reduction)(const Instruction *q, const Workspace *workspace, const V *init, ptrdiff_t step,
                                   V *dst, bool fused) {
    const bool product = q->opcode == OP_dot, listed = q->operands[1].table != NULL;
    const bool x_shared = q->operands[1].shared, y_shared = product && q->operands[2].shared;
#define CASE(p, f, l, s, t)                                                                                            \
    case p << 4 | f << 3 | l << 2 | s << 1 | t:                                                                        \
        N(reduce)(p, f, l, s, t, q, workspace, init, step, dst);                                                       \
        break;
#define CASES(p, f, s, t) CASE(p, f, 0, s, t) CASE(p, f, 1, s, t)
    switch (product << 4 | (product && fused) << 3 | listed << 2 | x_shared << 1 | y_shared) {
        CASES(0, 0, 0, 0) CASES(0, 0, 1, 0)
        CASES(1, 0, 0, 0) CASES(1, 0, 1, 0) CASES(1, 0, 1, 1)
        CASES(1, 1, 0, 0) CASES(1, 1, 1, 0) CASES(1, 1, 1, 1)
    }
}

/* z[j][w] = init[j][w] + the sum of x[k][row][j] y[k][row][w] over `count` of k and `rows` rows, for `high` of j and
   `wide` registers; a number of x fills all lanes if x is `shared`. Each size has a routine of its own, so that its
   sums stay in registers. */
INLINE void N(tile)(int high, int wide, bool shared, bool fused, ptrdiff_t count, int rows, const double *x,
                    ptrdiff_t xk, ptrdiff_t xj, const double *y, ptrdiff_t yk, ptrdiff_t y_row, const V *init,
                    ptrdiff_t init_j, V *z, ptrdiff_t zj) {
    V sums[8][WIDE + 1];
    UNROLL for (int j = 0; j < high; j++)
        UNROLL for (int w = 0; w < wide; w++)
            sums[j][w] = init[j * init_j + w];
    for (; count; count--, x += xk, y += yk)
        for (int row = 0; row < rows; row++)
            UNROLL for (int j = 0; j < high; j++)
                UNROLL for (int w = 0; w < wide; w++) {
                    const V a = N(load)(x + j * xj + row, 0, shared, w), b = N(load)(y + row * y_row, 0, false, w);
                    sums[j][w] = fused ? (V)FMA(a, b, sums[j][w]) : (V)(sums[j][w] + a * b);
                }
    UNROLL for (int j = 0; j < high; j++)
        UNROLL for (int w = 0; w < wide; w++)
            z[j * zj + w] = sums[j][w];
}

#define TILE(high, shared)                                                                                             \
    ROUTINE NOINLINE void N(tile_##high##_##shared)(const Instruction *q, const double *x, const double *y,            \
                                                    const V *init, ptrdiff_t step, V *z) {                             \
        const ptrdiff_t unit = shared ? 1 : ROWS;                                                                      \
        N(tile)(high, WIDE, shared, true, q->K, 1, x, q->operands[1].depth * unit, q->operands[1].outer * unit, y,     \
                q->operands[2].depth * ROWS, 0, init, q->dj * step, z, q->dj * WIDE);                                  \
    }
TILE(4, 0) TILE(4, 1) TILE(8, 0) TILE(8, 1)

/* Run a MATRIX_PRODUCT; `init` has the numbers to start from, `step` V apart. */
ROUTINE NOINLINE void N(matrix_product)(const Instruction *q, const Workspace *workspace, const V *init,
                                        ptrdiff_t step, V *dst) {
    static void (*const TILES[2][2])(const Instruction *, const double *, const double *, const V *, ptrdiff_t, V *) = {
        {N(tile_4_0), N(tile_8_0)}, {N(tile_4_1), N(tile_8_1)}};
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    const bool shared = x->shared;
    const ptrdiff_t J = q->J, xj = x->outer * (shared ? 1 : ROWS), yi = y->inner * ROWS;
    const double *xs = shared ? workspace->shared + x->start : workspace->rows + x->start * ROWS;
    const double *ys = workspace->rows + y->start * ROWS;
    const ptrdiff_t high = 8 * WIDE + 4 < REGISTERS && J >= 8 ? 8 : 4; /* the sums and their terms fit in registers */
    if (J < high) {
        N(reduction)(q, workspace, init, step, dst, true);
        return;
    }
    for (ptrdiff_t i = 0; i < q->I; i++)
        for (ptrdiff_t j = 0; j < J; j += high) {
            j = J - j < high ? J - high : j; /* the last tile overlaps the one before */
            const ptrdiff_t n = j * q->dj + i * q->di;
            TILES[shared][high == 8](q, xs + j * xj, ys + i * yi, init + n * step, step, dst + n * WIDE);
        }
}

/* LANES numbers that follow one another, or one in all lanes. */
INLINE V N(successive)(const double *from, bool same) {
    return same ? (V)SPLAT(*from) : (V) * (const N(Unaligned) *)from;
}

/* `length` results of a reduction on a block of one row, with lanes along them: x or y is the same for all of them if
   the flag says so, else contiguous. Results are `along` apart in `dst`, and `along * step` in `init`. */
INLINE void N(along_results)(bool product, bool same_x, bool same_y, const Instruction *q, ptrdiff_t length,
                             const double *x, const double *y, const double *init, ptrdiff_t step, double *dst,
                             ptrdiff_t along) {
    const ptrdiff_t K = q->K, xk = q->operands[1].depth, yk = q->operands[2].depth;
    for (ptrdiff_t a = 0; a < length; a += LANES) {
        a = length - a < LANES ? length - LANES : a; /* the last register overlaps the one before */
        const double *xs = x + (same_x ? 0 : a), *ys = y + (same_y ? 0 : a);
        V z[4] = {SPLAT(-0.0), SPLAT(-0.0), SPLAT(-0.0), SPLAT(-0.0)};
#define ADD(s, k)                                                                                                      \
    z[s] = product ? (V)FMA(N(successive)(xs + (k) * xk, same_x), N(successive)(ys + (k) * yk, same_y), z[s])          \
                   : (V)(z[s] + N(successive)(xs + (k) * xk, same_x));
        ptrdiff_t k = 0;
        for (; k + 4 <= K; k += 4)
            UNROLL for (int s = 0; s < 4; s++)
                ADD(s, k + s)
        for (; k < K; k++)
            ADD(0, k)
#undef ADD
        z[0] = (z[0] + z[1]) + (z[2] + z[3]);
        const double *from = init + a * along * step;
        if (along == 1 && !(step & ~1))
            *(N(Unaligned) *)(dst + a) = N(successive)(from, !step) + z[0];
        else
            for (int l = 0; l < LANES; l++)
                dst[(a + l) * along] = from[l * along * step] + LANE(z[0], l);
    }
}

/* A result of a reduction on a block of one row, with lanes along k: x or y is the same for each k, or contiguous. */
INLINE double N(along_k)(bool product, ptrdiff_t K, const double *x, ptrdiff_t xk, const double *y, ptrdiff_t yk) {
    V z[4] = {SPLAT(-0.0), SPLAT(-0.0), SPLAT(-0.0), SPLAT(-0.0)};
    ptrdiff_t k = 0;
    for (; k + LANES <= K; k += LANES) {
        const V a = N(successive)(x + k * xk, !xk);
        const V sum = product ? (V)FMA(a, N(successive)(y + k * yk, !yk), z[0]) : (V)(z[0] + a);
        z[0] = z[1], z[1] = z[2], z[2] = z[3], z[3] = sum;
    }
    z[0] = (z[0] + z[1]) + (z[2] + z[3]);
    double sum = 0;
    for (; k < K; k++)
        sum += product ? x[k * xk] * y[k * yk] : x[k * xk];
    for (int l = 0; l < LANES; l++)
        sum += LANE(z[0], l);
    return sum;
}

/* LANES results of a product on a block of one row, with lanes along k: lines of x, `xj` apart, times one of y. */
INLINE V N(lines_along_k)(ptrdiff_t K, const double *x, ptrdiff_t xj, const double *y) {
    V z[LANES];
    UNROLL for (int l = 0; l < LANES; l++)
        z[l] = SPLAT(-0.0);
    ptrdiff_t k = 0;
    for (; k + LANES <= K; k += LANES)
        UNROLL for (int l = 0; l < LANES; l++)
            z[l] = FMA(N(successive)(x + l * xj + k, false), N(successive)(y + k, false), z[l]);
    N(transpose)(z);
    UNROLL for (int l = 1; l < LANES; l++)
        z[0] += z[l];
    for (; k < K; k++)
        for (int l = 0; l < LANES; l++)
            LANE(z[0], l) += x[l * xj + k] * y[k];
    return z[0];
}

/* Run a REDUCTION or a MATRIX_PRODUCT on a block of one row, with lanes along the results or along k. False, and
   nothing done, if the operands are contiguous along neither. `init` has the numbers to start from, `step` apart. */
ROUTINE NOINLINE bool N(reduction_of_one)(const Instruction *q, const Workspace *workspace, const double *init,
                                          ptrdiff_t step, double *dst) {
    const bool product = q->opcode == OP_dot, matrix = q->form == MATRIX_PRODUCT && q->J >= LANES;
    const Operand *x = q->operands + 1, *y = x + product;
    const double *xs = (x->shared ? workspace->shared : workspace->rows) + x->start;
    const double *ys = (y->shared ? workspace->shared : workspace->rows) + y->start;
    const ptrdiff_t K = q->K, xk = x->depth, yk = y->depth;
    if (LANES == 1 || x->table || y->table)
        return false;
    /* The results as lines of `length`: along j for a matrix, else along i, or along both. */
    const bool flat = !matrix && x->flat && y->flat && q->di == 1;
    const ptrdiff_t length = matrix ? q->J : flat ? q->width : q->I, lines = q->width / length;
    const ptrdiff_t xa = matrix ? x->outer : flat ? x->step : x->inner, xo = matrix ? x->inner : x->outer;
    const ptrdiff_t ya = matrix ? y->outer : flat ? y->step : y->inner, yo = matrix ? y->inner : y->outer;
    const ptrdiff_t along = matrix ? q->dj : q->di, across = matrix ? q->di : q->dj;
    const int kind = product << 2 | (xa == 0) << 1 | (ya == 0);
    const bool by_results = length >= LANES && !((xa | ya) & ~1) && (xa || (product && ya));
    const bool copies = matrix && xk == 1 && yk != 1 && K <= 3 * CHUNK * workspace->kind->rows; /* y to a line */
    if (!by_results && (matrix ? K < LANES || xk != 1 || (yk != 1 && !copies) : K < 2 * LANES || ((xk | yk) & ~1)))
        return false;
    for (ptrdiff_t line = 0; line < lines; line++, xs += xo, ys += yo, init += across * step, dst += across) {
        const double *with = copies ? workspace->lines : ys;
        for (ptrdiff_t k = 0; copies && k < K; k++)
            workspace->lines[k] = ys[k * yk];
#define ALONG(k)                                                                                                       \
    if (by_results && kind == k)                                                                                       \
        N(along_results)(k >> 2, k >> 1 & 1, k & 1, q, length, xs, ys, init, step, dst, along);
        ALONG(0) else ALONG(4) else ALONG(5) else ALONG(6) else if (!matrix)
#undef ALONG
            for (ptrdiff_t a = 0; a < length; a++)
                dst[a * along] = init[a * along * step] + N(along_k)(product, K, xs + a * xa, xk, ys + a * ya, yk);
        else
            for (ptrdiff_t a = 0; a < length; a += LANES) {
                a = length - a < LANES ? length - LANES : a;
                const V z = N(lines_along_k)(K, xs + a * xa, xa, with);
                for (int l = 0; l < LANES; l++)
                    dst[(a + l) * along] = init[(a + l) * along * step] + LANE(z, l);
            }
    }
    return true;
}

/* True if none of `count` numbers is infinite or nan. */
INLINE bool N(all_finite)(const V *x, ptrdiff_t count) {
    V z[4] = {SPLAT(0.0), SPLAT(0.0), SPLAT(0.0), SPLAT(0.0)};
    ptrdiff_t p = 0;
    for (; p + 4 <= count; p += 4)
        UNROLL for (int s = 0; s < 4; s++)
            z[s] = FMA(x[p + s], SPLAT(0.0), z[s]);
    for (; p < count; p++)
        z[0] = FMA(x[p], SPLAT(0.0), z[0]);
    M hostile = (z[0] + z[1]) + (z[2] + z[3]) != 0;
    return !ANY(hostile);
}

ROUTINE void N(execute)(const Instruction *q, const Workspace *workspace, V *dst) {
    if (q->opcode == OP_detach) {
        N(copy)(q->operands, workspace, q->I, 0, q->width, dst);
        return;
    }
    if (q->form == POINTWISE) {
        N(pointwise)(q, workspace, dst);
        return;
    }
    const Line starts = N(in_line)(q->operands, workspace, q->init_I, 0, q->width, (V *)workspace->starts);
    const V *init = (const V *)starts.first;
    const ptrdiff_t step = starts.step / LANES;
    const bool done =
        ROWS == 1 && workspace->kind->reduction_of_one(q, workspace, (const double *)init, step, (double *)dst);
    if (!done && q->form == MATRIX_PRODUCT)
        N(matrix_product)(q, workspace, init, step, dst);
    else if (!done)
        N(reduction)(q, workspace, init, step, dst, true);
    if (q->opcode == OP_dot && !N(all_finite)(dst, q->width * WIDE)) {
        /* An infinity minus an infinite product is nan, but FMA does not round the product: run it unfused. */
        N(reduction)(q, workspace, init, step, dst, false);
    }
}

/* --- Tapes -------------------------------------------------------------------------------------------------------- */

/* The sum of `count` numbers in register `w`, or of the first and the products of the next two, and so on. */
INLINE V N(sum_of)(const V *const *at, int count, int w) {
    V z = at[0][w];
    UNROLL_16
    for (int k = 1; k < count; k++)
        z += at[k][w];
    return z;
}

INLINE V N(dot_of)(const V *const *at, int count, int w) {
    V z = at[0][w];
    UNROLL_16
    for (int k = 1; k < count; k += 2)
        z += at[k][w] * at[k + 1][w];
    return z;
}

/* Set `sines` and `cosines` to those of WIDE registers. */
ROUTINE void N(turns)(const V *x, V *sines, V *cosines) {
    ONCE for (int w = 0; w < WIDE; w++) {
#if LANES == 1
        const V angle = x[w]; /* the C library finds both in little more than the time of one */
        sines[w] = sin(angle), cosines[w] = cos(angle);
#else
        const N(Turn) turn = N(turn)(x[w]);
        sines[w] = N(sine_of_turn)(x[w], turn);
        cosines[w] = N(cosine_of_turn)(x[w], turn);
#endif
    }
}

/* Whether a row of the block needs the instructions of a guard. x[row] is the condition in each row, and `taken` that
   of the guard. */
INLINE bool N(is_needed)(const double *x, bool taken) {
    for (int row = 0; row < ROWS; row++)
        if ((x[row] != 0) == taken)
            return true;
    return false;
}

/* Run a tape: see write_tape. Address 0 is at `numbers`, and the first number of the tape goes to `z`. Products are not
   fused with additions, so that infinities stay as they are. */
ROUTINE NOINLINE void N(run_tape)(const Program *program, const Workspace *workspace, const int32_t *step,
                                  const V *numbers, V *z) {
#define AT(k) (numbers + (ptrdiff_t)step[1 + (k)] * WIDE)
#define STEP(name, count, formula)                                                                                     \
    ON(name) {                                                                                                         \
        const V *at[count];                                                                                            \
        UNROLL_16 for (int k = 0; k < count; k++)                                                                      \
            at[k] = AT(k);                                                                                             \
        UNROLL for (int w = 0; w < WIDE; w++) {                                                                        \
            formula;                                                                                                   \
        }                                                                                                              \
        step += 1 + count, z += WIDE;                                                                                  \
        NEXT;                                                                                                          \
    }
#define PRIMITIVE(name, arity, formula)                                                                                \
    STEP(name, arity, V c = at[0][w]; V x = at[arity == 3][w]; V y = at[arity - 1][w]; (void)c; (void)y; z[w] = formula)
#define SUM(K)                                                                                                         \
    STEP(sum##K, 1 + K, z[w] = N(sum_of)(at, 1 + K, w))                                                                \
    STEP(dot##K, 1 + 2 * K, z[w] = N(dot_of)(at, 1 + 2 * K, w))
#if LANES == 1
#define CALL PRIMITIVE
#define LABEL_OF_CALL LABEL
#else
#define CALL(name, ...)
#define LABEL_OF_CALL(name, ...) &&do_call,
#endif
#if defined(HAS_GNU_C) && WIDE < 8 /* a long step hides its own jump, and one jump for all makes shorter code */
#define LABEL(name, ...) &&do_##name,
#define LABELS_OF_K(K) &&do_sum##K, &&do_dot##K,
    static const void *const LABELS[] = {PRIMITIVES(LABEL, LABEL_OF_CALL) REDUCTIONS(LABEL) SUMS(LABELS_OF_K)
                                             CONTROLS(LABEL)};
#define ON(name) do_##name:
#define ON_CALL do_call:
#define NEXT goto *LABELS[*step] /* a jump after each step is predicted better than one jump for all */
    NEXT;
#else
#define ON(name) case OP_##name:
#define ON_CALL default:
#define NEXT continue
    for (;;)
        switch (*step)
#endif
    {
        PRIMITIVES(PRIMITIVE, CALL)
        SUMS(SUM)
#if LANES > 1
        ON_CALL { /* a primitive that takes longer than the call of its routine */
            const int arity = ARITIES[*step];
            Line lines[3];
            for (int a = 0; a < arity; a++)
                lines[a] = (Line){(const double *)AT(a), 0};
            N(FUNCTIONS)[*step](lines, 1, WIDE, (double *)z, ROWS);
            step += 1 + arity, z += WIDE;
            NEXT;
        }
#endif
        ON(sin_cos)
        ON(cos_sin) {
            const bool second = *step == OP_cos_sin; /* the sine is */
            N(turns)(AT(0), z + second * WIDE, z + !second * WIDE);
            step += 4, z += 2 * WIDE;
            NEXT;
        }
        ON(wide) {
            N(execute)(program->instructions + step[1], workspace, z);
            z += step[2] * WIDE, step += 3;
            NEXT;
        }
        ON(unless)
        ON(until) {
            const bool needed = N(is_needed)((const double *)AT(0), *step == OP_unless);
            z += needed ? 0 : step[3] * WIDE, step += needed ? 4 : 4 + step[2];
            NEXT;
        }
        ON(sum)
        ON(dot)
        ON(end) {
            return;
        }
    }
}

/* --- Totals ------------------------------------------------------------------------------------------------------- */

/* sums[j][i] += x[k][row][j] y[k][row][i] over `count` of k and `live` rows, for JT of j and IT * LANES of i. */
#define OUTER_TILE(JT, IT, fused)                                                                                      \
    ROUTINE NOINLINE void N(outer_tile_##JT##_##IT##_##fused)(ptrdiff_t count, int live, const double *x,              \
                                                              ptrdiff_t xk, ptrdiff_t xj, const double *y,             \
                                                              ptrdiff_t yk, ptrdiff_t pitch, double *sums) {           \
        V *z = (V *)sums;                                                                                              \
        N(tile)(JT, IT, true, fused, count, live, x, xk, xj, y, yk, pitch, z, pitch / LANES, z, pitch / LANES);        \
    }
OUTER_TILE(1, 1, 0) OUTER_TILE(2, 1, 0) OUTER_TILE(4, 1, 0) OUTER_TILE(1, 2, 0) OUTER_TILE(2, 2, 0) OUTER_TILE(4, 2, 0)
OUTER_TILE(1, 1, 1) OUTER_TILE(2, 1, 1) OUTER_TILE(4, 1, 1) OUTER_TILE(1, 2, 1) OUTER_TILE(2, 2, 1) OUTER_TILE(4, 2, 1)

static void (*const N(OUTER_TILES)[2][2][3])(ptrdiff_t, int, const double *, ptrdiff_t, ptrdiff_t, const double *,
                                             ptrdiff_t, ptrdiff_t, double *) = {
    {{N(outer_tile_1_1_0), N(outer_tile_2_1_0), N(outer_tile_4_1_0)},
     {N(outer_tile_1_2_0), N(outer_tile_2_2_0), N(outer_tile_4_2_0)}},
    {{N(outer_tile_1_1_1), N(outer_tile_2_1_1), N(outer_tile_4_1_1)},
     {N(outer_tile_1_2_1), N(outer_tile_2_2_1), N(outer_tile_4_2_1)}},
};

/* For each of `rows` rows, ROWS or 1, write `pitch` numbers: I numbers of the row, `step` apart, and then zeros. */
INLINE void N(transpose_rows)(const double *y, ptrdiff_t I, ptrdiff_t step, int rows, ptrdiff_t pitch, double *lines) {
    for (ptrdiff_t i = 0; rows == 1 && i < pitch; i++)
        lines[i] = i < I ? y[i * step] : 0.0;
    for (ptrdiff_t first = 0; rows > 1 && first < pitch; first += LANES)
        for (int w = 0; w < WIDE; w++) {
            V block[LANES];
            if (I - first >= LANES)
                for (int l = 0; l < LANES; l++)
                    block[l] = N(load)(y, (first + l) * step, false, w);
            else
                for (int l = 0; l < LANES; l++)
                    block[l] = first + l < I ? N(load)(y, (first + l) * step, false, w) : (V)SPLAT(0.0);
            N(transpose)(block);
            for (int l = 0; l < LANES; l++)
                *(V *)(lines + (w * LANES + l) * pitch + first) = block[l];
        }
}

/* Add the products of a total of the form OUTER to its sums. Lanes run along the matrix, not along the rows, so that
   each sum is one number, not one for each lane. The block has `rows` rows, ROWS or 1, and `live` of them count. */
ROUTINE NOINLINE void N(outer_product)(const Instruction *q, int rows, int live, const Workspace *workspace,
                                       bool fused) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    const ptrdiff_t J = q->J, I = q->I, pitch = q->pitch, xj = x->outer * rows, yi = y->inner;
    const ptrdiff_t vectors = pitch / LANES, line = pitch * rows, deep = line < NEAR ? NEAR / line : 1;
    double *sums = workspace->sums + q->at;
    for (ptrdiff_t k = 0, count; k < q->K; k += count) {
        count = q->K - k < deep ? q->K - k : deep;
        double *transposed = workspace->transposed;
        for (ptrdiff_t n = 0; n < count; n++, transposed += line)
            N(transpose_rows)(workspace->rows + (y->start + (k + n) * y->depth) * rows, I, yi, rows, pitch, transposed);
        const double *xs = workspace->rows + (x->start + k * x->depth) * rows;
        for (ptrdiff_t i = 0, wide; i < vectors; i += wide) {
            wide = vectors - i < 2 ? 1 : 2;
            for (ptrdiff_t j = 0, high; j < J; j += high) {
                high = J - j < 2 ? 1 : J - j < 4 ? 2 : 4;
                N(OUTER_TILES)[fused][wide - 1][high / 2](count, live, xs + j * xj, x->depth * rows, xj,
                                                         workspace->transposed + i * LANES, line, pitch,
                                                         sums + j * pitch + i * LANES);
            }
        }
    }
}

/* Add the terms of any other total to its sums of each lane, in the first `live` rows. */
ROUTINE void N(accumulate)(const Instruction *q, const Workspace *workspace, int live) {
    V *lanes = (V *)workspace->lanes + q->lanes_at;
    Line terms = {workspace->terms, ROWS};
    if (q->opcode == OP_detach)
        terms = N(in_line)(q->operands, workspace, q->I, 0, q->width, (V *)workspace->terms);
    else
        N(execute)(q, workspace, (V *)workspace->terms);
    const ptrdiff_t width = q->width;
    int64_t row_is_alive[ROWS];
    for (int row = 0; row < ROWS; row++)
        row_is_alive[row] = row < live ? -1 : 0;
    M alive[WIDE];
    memcpy(alive, row_is_alive, sizeof(alive));
    for (ptrdiff_t p = 0; p < width; p++)
        for (int w = 0; w < WIDE; w++)
            lanes[p] += SELECT(alive[w], N(at)(terms, p, w), SPLAT(0.0));
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

/* Read `live` rows from `first` on into a block. If they are fewer than ROWS, the last one fills the other lanes, so
   that every lane computes on real numbers. */
ROUTINE void N(read_rows)(Tables inputs, ptrdiff_t first, int live, V *rows) {
    for (const Table *table = inputs.tables, *end = table + inputs.count; table < end; table++) {
        const ptrdiff_t width = table->width;
        if (ROWS == 1 || (width == 1 && live == ROWS)) { /* contiguous already */
            memcpy(rows, table->numbers + first * width, sizeof(V) * WIDE * width);
            rows += WIDE * width;
            continue;
        }
        const double *from[ROWS];
        for (int row = 0; row < ROWS; row++)
            from[row] = table->numbers + (first + (row < live ? row : live - 1)) * width;
        ptrdiff_t a = 0;
#if LANES > 1
        for (; a + LANES <= width; a += LANES)
            for (int w = 0; w < WIDE; w++) {
                V block[LANES];
                for (int l = 0; l < LANES; l++)
                    block[l] = *(const N(Unaligned) *)(from[w * LANES + l] + a);
                N(transpose)(block);
                for (int l = 0; l < LANES; l++)
                    rows[(a + l) * WIDE + w] = block[l];
            }
#endif
        for (; a < width; a++)
            for (int row = 0; row < ROWS; row++)
                ((double *)rows)[a * ROWS + row] = from[row][a];
        rows += width * WIDE;
    }
}

ROUTINE void N(write_rows)(const Program *program, const Workspace *workspace, ptrdiff_t first, int live,
                           Tables outputs) {
    const int32_t *result = program->results;
    if (ROWS == 1 && outputs.count == 1) {
        double *to = outputs.tables->numbers + first * program->results_count;
        for (const Run *run = program->copies, *end = run + program->copies_count; run < end; to += run++->count) {
            const double *from = number_at(program, workspace, run->first);
            if (run->count == 1)
                *to = *from;
            else
                memcpy(to, from, run->count * sizeof(double));
        }
        return;
    }
    for (const Table *table = outputs.tables, *end = table + outputs.count; table < end; table++)
        for (ptrdiff_t a = 0; a < table->width; a++, result++) {
            bool shared = *result < program->shared;
            const double *x =
                shared ? workspace->shared + *result : workspace->rows + (*result - program->shared) * ROWS;
            double *to = table->numbers + first * table->width + a;
            if (table->width == 1 && !shared && live == ROWS)
                for (int w = 0; w < WIDE; w++)
                    *(N(Unaligned) *)(to + w * LANES) = ((const V *)x)[w];
            else
                for (int row = 0; row < live; row++, to += table->width)
                    *to = x[shared ? 0 : row];
        }
}

/* Fetch the rows from `first` to `last - 1` of narrow buffers into the cache. Each buffer is a stream of its own, and a
   block reads or writes only a few bytes of each. */
INLINE void N(prefetch)(Tables tables, ptrdiff_t first, ptrdiff_t last) {
    for (const Table *table = tables.tables, *end = table + tables.count; table < end; table++)
        for (ptrdiff_t at = first * table->width; table->width <= 4 && at < last * table->width; at += 8)
            PREFETCH(table->numbers + at);
}

/* Copy the shared numbers that steps read to the memory before the rows of a block, each into all of its rows. */
ROUTINE void N(broadcast)(const Program *program, const Workspace *workspace) {
    V *to = (V *)workspace->rows;
    for (ptrdiff_t s = 0; s < program->broadcasts_count; s++)
        for (int w = 0; w < WIDE; w++)
            *--to = SPLAT(workspace->shared[program->broadcasts[s]]);
}

/* Run the rows from `row` to `last - 1`: write their results, and add their sums to workspace->sums. `fused` allows
   FMA in totals of the form OUTER. False if it was used and a sum is not finite: it may be wrong, see N(execute). */
static TARGET bool N(run_rows)(const Program *program, const Workspace *workspace, Tables inputs, Tables outputs,
                               ptrdiff_t row, ptrdiff_t last, bool fused) {
    const Instruction *each = program->instructions + program->once, *total = each + program->each;
    const Instruction *end = total + program->total;
    memset(workspace->lanes, 0, program->lanes_size * LANES * sizeof(double));
    N(broadcast)(program, workspace);
    V *rows = (V *)workspace->rows;
    for (; row < last; row += ROWS) {
        int live = (int)(last - row < ROWS ? last - row : ROWS);
        N(read_rows)(inputs, row, live, rows);
        if (live == ROWS && ROWS > 1) {
            N(prefetch)(outputs, row, row + ROWS);
            N(prefetch)(inputs, row + ROWS, last < row + 2 * ROWS ? last : row + 2 * ROWS);
        }
        N(run_tape)(program, workspace, program->each_tape, rows, rows + program->inputs * WIDE);
        N(write_rows)(program, workspace, row, live, outputs);
        for (const Instruction *q = total; q < end; q++)
            if (q->form == OUTER)
                (ROWS == 1 ? workspace->kind->outer_product : N(outer_product))(q, ROWS, live, workspace, fused);
            else
                N(accumulate)(q, workspace, live);
    }
    for (const Instruction *q = total; q < end; q++)
        if (q->form != OUTER)
            for (ptrdiff_t p = 0; p < q->width; p += LANES) {
                V block[LANES], *sums = (V *)(workspace->sums + q->at + p);
                memcpy(block, (V *)workspace->lanes + q->lanes_at + p, sizeof(block));
                N(transpose)(block);
                for (int l = 0; l < LANES; l++)
                    *sums += block[l];
            }
    return !fused || !program->outer || N(all_finite)((const V *)workspace->sums, program->sums_size / LANES);
}

/* The other macros are the same for each kind. */
#undef CALL
#undef LABEL
#undef LABELS_OF_K
#undef LABEL_OF_CALL
#undef NEXT
#undef ON
#undef ON_CALL
#undef KIND
#undef WIDE
#undef LANES
#undef REGISTERS
#undef TARGET
#undef FMA
#undef SQRT
#undef ANY
#undef SPLAT
#undef SELECT
#undef LANE
#undef EACH_LANE
