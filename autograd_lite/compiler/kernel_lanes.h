/* One block of a program: ROWS rows side by side, LANES of them in a SIMD register and WIDE registers in line.

   kernel.c includes this file once for each kind of block. It defines

       KIND       the name of the kind
       WIDE       1, 2 or 8

   and includes the header of an instruction set, which defines the following and then includes this file:

       LANES      1, 2, 4 or 8
       REGISTERS  how many SIMD registers the machine has
       TARGET     the attribute that lets the C compiler use the instruction set
       FMA        x * y + z, rounded once where the machine can
       SQRT       the square root in each lane
       ANY        whether a mask has a lane set

   This file then defines N(run_rows), N(product_of_one) and N(outer_product), where N(name) is name_KIND, and with
   LANES = 1 also run_once. A V is LANES numbers and fills one register; every operation on a V acts on all of them. */

#define N(name) PASTE(name, KIND)
#define V N(Lanes)
#define M N(Mask)
#define Bits N(Bits)
#define ROWS (LANES * WIDE)
#define TALL (8 * WIDE + 4 < REGISTERS) /* whether 8 x WIDE sums, and what is added to them, fit in registers */

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

#define BY_LIBRARY(f)                                                                                                  \
    INLINE V N(f)(V x) {                                                                                               \
        V z = x;                                                                                                       \
        for (int l = 0; l < LANES; l++)                                                                                \
            LANE(z, l) = f(LANE(x, l));                                                                                \
        return z;                                                                                                      \
    }
BY_LIBRARY(tan) BY_LIBRARY(asin) BY_LIBRARY(acos) BY_LIBRARY(atan)
BY_LIBRARY(sinh) BY_LIBRARY(cosh) BY_LIBRARY(sqrt) BY_LIBRARY(asinh) BY_LIBRARY(acosh) BY_LIBRARY(atanh)
BY_LIBRARY(exp2) BY_LIBRARY(log2) BY_LIBRARY(log10) BY_LIBRARY(cbrt) BY_LIBRARY(floor) BY_LIBRARY(ceil) BY_LIBRARY(rint)

#define BY_LIBRARY_OF_TWO(name, f)                                                                                     \
    INLINE V N(name)(V x, V y) {                                                                                       \
        V z = x;                                                                                                       \
        for (int l = 0; l < LANES; l++)                                                                                \
            LANE(z, l) = f(LANE(x, l), LANE(y, l));                                                                    \
        return z;                                                                                                      \
    }
BY_LIBRARY_OF_TWO(hypot, hypot) BY_LIBRARY_OF_TWO(atan2, atan2) BY_LIBRARY_OF_TWO(mod, python_mod)
BY_LIBRARY_OF_TWO(floordiv, python_floordiv)

#if LANES == 1
BY_LIBRARY(fabs) BY_LIBRARY(exp) BY_LIBRARY(expm1) BY_LIBRARY(log) BY_LIBRARY(log1p) BY_LIBRARY(tanh)
BY_LIBRARY(erf) BY_LIBRARY(sin) BY_LIBRARY(cos)

INLINE V N(log1p_of_01)(V x) {
    return log1p(x);
}

INLINE V N(pow)(V x, V y) {
    return pow(x, y);
}
#else

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
   erf(r) + slope(r) d (1 - r d + (2 r^2 - 1) / 3 d^2 - ...). The polynomials in r are Hermite polynomials. From 6 on, erf
   is 1. */
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
    V z = x;
    for (int l = 0; l < LANES; l++)
        z[l] = pow(x[l], y[l]);
    return z;
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
ROUTINE NOINLINE void N(copy)(const Operand *x, const Numbers *numbers, ptrdiff_t I, ptrdiff_t first, ptrdiff_t count,
                              V *line) {
    const double *space = x->shared ? numbers->shared : numbers->rows;
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
    ptrdiff_t j = x->flat ? 0 : first / I, i = first - j * I, inner = x->step;
    for (ptrdiff_t rest = count, length; rest; rest -= length, line += length * WIDE, i = 0, j++) {
        ptrdiff_t address = x->start + j * x->outer + i * inner;
        length = rest < I - i ? rest : I - i;
        for (ptrdiff_t p = 0; p < length; p++, address += inner)
            for (int w = 0; w < WIDE; w++)
                line[p * WIDE + w] = N(load)(space, address, shared, w);
    }
}

/* An operand at `count` points from `first` on: in memory where they have a constant distance, else a copy in `copied`.
   A shared number that is the same at all points is copied once, with step 0. */
INLINE Line N(in_line)(const Operand *x, const Numbers *numbers, ptrdiff_t I, ptrdiff_t first, ptrdiff_t count,
                       V *copied) {
    if (x->flat && (!x->shared || LANES == 1)) {
        const double *space = x->shared ? numbers->shared : numbers->rows;
        return (Line){space + (x->start + first * x->step) * ROWS, x->step * ROWS};
    }
    if (x->flat && x->step == 0) {
        const V number = SPLAT(numbers->shared[x->start]);
        UNROLL
        for (int w = 0; w < WIDE; w++)
            copied[w] = number;
        return (Line){(const double *)copied, 0};
    }
    N(copy)(x, numbers, I, first, count, copied);
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

/* Register `w` of point `p` of a line. Lines on a block of one row begin at any number, so that they are not aligned. */
INLINE V N(at)(Line line, ptrdiff_t p, ptrdiff_t w) {
    return *(const N(Unaligned) *)(line.first + p * line.step + w * LANES);
}
PRIMITIVES(FUNCTION)

#define DO(name, ...) N(do_##name),
static const Function N(FUNCTIONS)[] = {PRIMITIVES(DO)};
#undef DO

#if LANES == 1
#include "kernel_row.h"
#else
/* Run a POINTWISE instruction, CHUNK points at a time. */
ROUTINE void N(pointwise)(const Instruction *q, const Numbers *numbers, V *dst) {
    for (ptrdiff_t first = 0; first < q->width; first += CHUNK) {
        const ptrdiff_t count = q->width - first < CHUNK ? q->width - first : CHUNK;
        bool dense = true;
        Line lines[3];
        for (int a = 0; a < q->arity; a++) {
            V *copied = (V *)numbers->lines + a * CHUNK * WIDE;
            lines[a] = N(in_line)(q->operands + a, numbers, q->I, first, count, copied);
            dense = dense && lines[a].step == ROWS;
        }
        N(FUNCTIONS)[q->opcode](lines, dense ? 1 : count, dense ? count * WIDE : WIDE, (double *)(dst + first * WIDE),
                                ROWS);
    }
}
#endif

/* The numbers of an operand for k = 0, 1, ...: at the addresses in a table, or at equal distances. */
typedef struct {
    const int32_t *table;
    const double *space;
    ptrdiff_t depth;
} N(Stream);

INLINE N(Stream) N(stream)(bool gathered, bool shared, const Numbers *numbers, const Operand *x, ptrdiff_t at) {
    const double *space = shared ? numbers->shared : numbers->rows;
    ptrdiff_t width = shared ? 1 : ROWS;
    return gathered ? (N(Stream)){x->table + at, space, 0} : (N(Stream)){NULL, space + at * width, x->depth * width};
}

INLINE void N(next)(bool gathered, bool shared, N(Stream) *xs, V *x) {
    ptrdiff_t address = gathered ? *xs->table++ : 0;
    UNROLL
    for (int w = 0; w < WIDE; w++)
        x[w] = N(load)(xs->space, address, shared, w);
    if (!gathered)
        xs->space += xs->depth;
}

/* z += x[0] y[0] + ... + x[K-1] y[K-1], or the sum of x if not `product`. All callers pass the flags as constants. */
INLINE void N(reduce)(bool product, bool fused, bool gathered, bool x_shared, bool y_shared, const Numbers *numbers,
                      const Operand *x, const Operand *y, ptrdiff_t x_at, ptrdiff_t y_at, ptrdiff_t K, V *z) {
    N(Stream) xs = N(stream)(gathered, x_shared, numbers, x, x_at), ys = xs;
    if (product)
        ys = N(stream)(gathered, y_shared, numbers, y, y_at);
#define ADD(z)                                                                                                         \
    do {                                                                                                               \
        V a[WIDE], b[WIDE];                                                                                            \
        N(next)(gathered, x_shared, &xs, a);                                                                           \
        if (product)                                                                                                   \
            N(next)(gathered, y_shared, &ys, b);                                                                       \
        UNROLL for (int w = 0; w < WIDE; w++)                                                                          \
            z[w] = !product ? (V)(z[w] + a[w]) : fused ? (V)FMA(a[w], b[w], z[w]) : (V)(z[w] + a[w] * b[w]);           \
    } while (0)
    if (K >= 8 && WIDE <= 2) { /* four independent sums, so that additions overlap */
        V z1[WIDE], z2[WIDE], z3[WIDE];
        UNROLL
        for (int w = 0; w < WIDE; w++)
            z1[w] = z2[w] = z3[w] = SPLAT(-0.0);
        for (; K >= 4; K -= 4) {
            ADD(z);
            ADD(z1);
            ADD(z2);
            ADD(z3);
        }
        UNROLL
        for (int w = 0; w < WIDE; w++)
            z[w] = (z[w] + z1[w]) + (z2[w] + z3[w]);
    }
    for (; K; K--)
        ADD(z);
#undef ADD
}

/* Run a REDUCTION, or a MATRIX_PRODUCT as one; `init` has the numbers to start from, `step` V apart. */
ROUTINE NOINLINE void N(reduction)(const Instruction *q, const Numbers *numbers, const V *init, ptrdiff_t step, V *dst,
                                   bool fused) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    bool product = q->opcode == OP_dot, gathered = x->table != NULL;
#define CASE(p, f, g, s, t)                                                                                            \
    case p << 4 | f << 3 | g << 2 | s << 1 | t:                                                                        \
        for (ptrdiff_t j = 0; j < q->J; j++)                                                                           \
            for (ptrdiff_t i = 0; i < q->I; i++) {                                                                     \
                ptrdiff_t n = j * q->dj + i * q->di;                                                                   \
                ptrdiff_t x_at = g ? n * q->K : x->start + j * x->outer + i * x->inner;                                \
                ptrdiff_t y_at = g ? n * q->K : y->start + j * y->outer + i * y->inner;                                \
                V z[WIDE];                                                                                             \
                UNROLL for (int w = 0; w < WIDE; w++)                                                                  \
                    z[w] = init[n * step + w];                                                                         \
                N(reduce)(p, f, g, s, t, numbers, x, y, x_at, y_at, q->K, z);                                          \
                UNROLL for (int w = 0; w < WIDE; w++)                                                                  \
                    dst[n * WIDE + w] = z[w];                                                                          \
            }                                                                                                          \
        break;
#define CASES(p, f, s, t) CASE(p, f, 0, s, t) CASE(p, f, 1, s, t)
    switch (product << 4 | (product && fused) << 3 | gathered << 2 | x->shared << 1 | (product && y->shared)) {
        CASES(0, 0, 0, 0) CASES(0, 0, 1, 0)
        CASES(1, 0, 0, 0) CASES(1, 0, 1, 0) CASES(1, 0, 1, 1)
        CASES(1, 1, 0, 0) CASES(1, 1, 1, 0) CASES(1, 1, 1, 1)
    }
#undef CASE
#undef CASES
}

/* JT x IT results of a MATRIX_PRODUCT: z[j, i] = init[j, i] + the sum of x[j, k] y[i, k] over k. Each size of tile
   has a function of its own, so that its sums stay in registers. */
#define TILE(JT, IT, shared)                                                                                           \
    ROUTINE NOINLINE void N(tile_##JT##_##IT##_##shared)(const Instruction *q, const double *x, const double *y,       \
                                                         const V *init, ptrdiff_t step, V *z) {                        \
        const ptrdiff_t xj = q->operands[1].outer * (shared ? 1 : ROWS);                                               \
        const ptrdiff_t xk = q->operands[1].depth * (shared ? 1 : ROWS);                                               \
        const ptrdiff_t yi = q->operands[2].inner * ROWS, yk = q->operands[2].depth * ROWS;                            \
        const ptrdiff_t dj = q->dj, di = q->di;                                                                        \
        V sums[JT][IT][WIDE];                                                                                          \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                UNROLL for (int w = 0; w < WIDE; w++)                                                                  \
                    sums[j][i][w] = init[(j * dj + i * di) * step + w];                                                \
        for (ptrdiff_t k = q->K; k; k--, x += xk, y += yk)                                                             \
            UNROLL for (int j = 0; j < JT; j++)                                                                        \
                UNROLL for (int i = 0; i < IT; i++)                                                                    \
                    UNROLL for (int w = 0; w < WIDE; w++)                                                              \
                        sums[j][i][w] =                                                                                \
                            FMA(N(load)(x + j * xj, 0, shared, w), N(load)(y + i * yi, 0, false, w), sums[j][i][w]);   \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                UNROLL for (int w = 0; w < WIDE; w++)                                                                  \
                    z[(j * dj + i * di) * WIDE + w] = sums[j][i][w];                                                   \
    }
TILE(4, 1, 0) TILE(4, 1, 1)
#if TALL
TILE(8, 1, 0) TILE(4, 2, 0) TILE(8, 1, 1) TILE(4, 2, 1)
#endif

static void (*const N(TILES)[2][3])(const Instruction *, const double *, const double *, const V *, ptrdiff_t, V *) = {
#if TALL
    {N(tile_4_1_0), N(tile_8_1_0), N(tile_4_2_0)},
    {N(tile_4_1_1), N(tile_8_1_1), N(tile_4_2_1)},
#else
    {N(tile_4_1_0)},
    {N(tile_4_1_1)},
#endif
};

/* Run a MATRIX_PRODUCT; `init` has the numbers to start from, `step` V apart. */
ROUTINE NOINLINE void N(matrix_product)(const Instruction *q, const Numbers *numbers, const V *init, ptrdiff_t step,
                                        V *dst) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    const bool shared = x->shared;
    const ptrdiff_t J = q->J, I = q->I, xj = x->outer * (shared ? 1 : ROWS), yi = y->inner * ROWS;
    const double *xs = shared ? numbers->shared + x->start : numbers->rows + x->start * ROWS;
    const double *ys = numbers->rows + y->start * ROWS;
    if (J < 4) { /* lower than any tile */
        N(reduction)(q, numbers, init, step, dst, true);
        return;
    }
    for (ptrdiff_t i = 0, wide; i < I; i += wide) {
        wide = TALL && I - i >= 2 ? 2 : 1;
        for (ptrdiff_t j = 0, high; j < J; j += high) {
            high = TALL && wide == 1 && J >= 8 ? 8 : 4;
            if (J - j < high) /* the last tile overlaps the one before */
                j = J - high;
            const ptrdiff_t n = j * q->dj + i * q->di, tile = wide == 2 ? 2 : high == 8;
            N(TILES)[shared][tile](q, xs + j * xj, ys + i * yi, init + n * step, step, dst + n * WIDE);
        }
    }
}

/* Run a MATRIX_PRODUCT on a block of one row, with lanes along the matrix. False, and nothing done, if x is contiguous
   neither along j nor along k. */
ROUTINE NOINLINE bool N(product_of_one)(const Instruction *q, const Numbers *numbers, const double *init,
                                        ptrdiff_t step, double *dst) {
#if LANES == 1
    (void)q, (void)numbers, (void)init, (void)step, (void)dst;
    return false;
#else
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    const double *xs = (x->shared ? numbers->shared : numbers->rows) + x->start, *ys = numbers->rows + y->start;
    const ptrdiff_t J = q->J, I = q->I, K = q->K, xj = x->outer, xk = x->depth, yi = y->inner, yk = y->depth;
    const bool along_k = xk == 1 && K >= LANES && (yk == 1 || K <= 3 * CHUNK * numbers->kind->rows);
    if (!along_k && !(xj == 1 && J >= LANES))
        return false;
    for (ptrdiff_t i = 0; i < I; i++) {
        const double *with = ys + i * yi;
        if (along_k && yk != 1) {
            for (ptrdiff_t k = 0; k < K; k++)
                numbers->lines[k] = with[k * yk];
            with = numbers->lines;
        }
        for (ptrdiff_t j = 0; j < J; j += LANES) {
            if (J >= LANES && J - j < LANES)
                j = J - LANES; /* the last tile overlaps the one before */
            const double *from = xs + j * xj;
            V z[LANES];
            UNROLL
            for (int l = 0; l < LANES; l++)
                z[l] = SPLAT(-0.0);
            ptrdiff_t k = 0;
            if (along_k) {
                for (; k + LANES <= K; k += LANES)
                    UNROLL
                    for (int l = 0; l < LANES; l++)
                        z[l] = FMA(*(const N(Unaligned) *)(from + (j + l < J ? l : J - 1 - j) * xj + k),
                                   *(const N(Unaligned) *)(with + k), z[l]);
                N(transpose)(z);
            } else {
                for (; k + 4 <= K; k += 4)
                    UNROLL
                    for (int l = 0; l < 4; l++)
                        z[l % LANES] = FMA(*(const N(Unaligned) *)(from + (k + l) * xk), SPLAT(with[(k + l) * yk]),
                                           z[l % LANES]);
            }
            UNROLL
            for (int half = LANES / 2; half; half /= 2)
                UNROLL
                for (int l = 0; l < half; l++)
                    z[l] += z[l + half];
            double products[LANES];
            *(N(Unaligned) *)products = z[0];
            for (int l = 0; l < LANES && j + l < J; l++) {
                for (ptrdiff_t rest = k; rest < K; rest++)
                    products[l] += from[l * xj + rest * xk] * with[rest * (along_k ? 1 : yk)];
                dst[(j + l) * q->dj + i * q->di] = init[((j + l) * q->dj + i * q->di) * step] + products[l];
            }
        }
    }
    return true;
#endif
}

/* LANES numbers that are `step` apart: 0 or 1. */
INLINE V N(successive)(const double *from, ptrdiff_t step) {
    if (step)
        return *(const N(Unaligned) *)from;
    return SPLAT(*from);
}

/* Run a REDUCTION, or a MATRIX_PRODUCT as one, on a block of one row: with lanes along the results, or along k. False,
   and nothing done, if the operands are contiguous along neither. `init` has the numbers to start from, `step` apart. */
ROUTINE NOINLINE bool N(reduction_of_one)(const Instruction *q, const Numbers *numbers, const double *init,
                                          ptrdiff_t step, double *dst) {
#if LANES == 1
    (void)q, (void)numbers, (void)init, (void)step, (void)dst;
    return false;
#else
    const bool product = q->opcode == OP_dot;
    const Operand *x = &q->operands[1], *y = product ? &q->operands[2] : x;
    const double *xs = (x->shared ? numbers->shared : numbers->rows) + x->start;
    const double *ys = (y->shared ? numbers->shared : numbers->rows) + y->start;
    const ptrdiff_t width = q->width, K = q->K;
    if (x->table || y->table || (step & ~1))
        return false;
    if (width >= LANES && x->flat && y->flat && !(x->step & ~1) && !(y->step & ~1) && q->di == 1) {
        for (ptrdiff_t n = 0; n < width; n += LANES) {
            n = n + LANES > width ? width - LANES : n; /* the last register overlaps the one before */
            const double *a = xs + n * x->step, *b = ys + n * y->step;
            V z = N(successive)(init + n * step, step);
            for (ptrdiff_t k = K; k; k--, a += x->depth, b += y->depth)
                z = product ? (V)FMA(N(successive)(a, x->step), N(successive)(b, y->step), z) : (V)(z + N(successive)(a, x->step));
            *(N(Unaligned) *)(dst + n) = z;
        }
        return true;
    }
    if (K < 2 * LANES || (x->depth & ~1) || (y->depth & ~1))
        return false;
    for (ptrdiff_t j = 0; j < q->J; j++)
        for (ptrdiff_t i = 0; i < q->I; i++) {
            const double *a = xs + j * x->outer + i * x->inner, *b = ys + j * y->outer + i * y->inner;
            const ptrdiff_t n = j * q->dj + i * q->di;
            V z[4] = {SPLAT(-0.0), SPLAT(-0.0), SPLAT(-0.0), SPLAT(-0.0)};
            ptrdiff_t k = 0;
            for (; k + LANES <= K; k += LANES) {
                V u = N(successive)(a + k * x->depth, x->depth);
                V sum = product ? (V)FMA(u, N(successive)(b + k * y->depth, y->depth), z[0]) : (V)(z[0] + u);
                z[0] = z[1], z[1] = z[2], z[2] = z[3], z[3] = sum;
            }
            V all = (z[0] + z[1]) + (z[2] + z[3]);
            double sum = init[n * step];
            for (; k < K; k++)
                sum += product ? a[k * x->depth] * b[k * y->depth] : a[k * x->depth];
            for (int l = 0; l < LANES; l++)
                sum += all[l];
            dst[n] = sum;
        }
    return true;
#endif
}

/* True if none of `count` numbers is infinite or nan. */
INLINE bool N(all_finite)(const V *x, ptrdiff_t count) {
    V a = SPLAT(0.0), b = a, c = a, d = a;
    ptrdiff_t p = 0;
    for (; p + 4 <= count; p += 4) {
        a = FMA(x[p], SPLAT(0.0), a);
        b = FMA(x[p + 1], SPLAT(0.0), b);
        c = FMA(x[p + 2], SPLAT(0.0), c);
        d = FMA(x[p + 3], SPLAT(0.0), d);
    }
    for (; p < count; p++)
        a = FMA(x[p], SPLAT(0.0), a);
    a = (a + b) + (c + d);
    M hostile = a != 0;
    return !ANY(hostile);
}

ROUTINE void N(execute)(const Instruction *q, const Numbers *numbers, V *dst) {
    if (q->opcode == OP_detach) {
        N(copy)(q->operands, numbers, q->I, 0, q->width, dst);
        return;
    }
    if (q->form == POINTWISE) {
        N(pointwise)(q, numbers, dst);
        return;
    }
    const Line starts = N(in_line)(q->operands, numbers, q->init_I, 0, q->width, (V *)numbers->starts);
    const V *init = (const V *)starts.first;
    const ptrdiff_t step = starts.step / LANES;
    const Kind *along = numbers->kind; /* for a block of one row */
    const bool product = q->form == MATRIX_PRODUCT;
    bool done = ROWS == 1 && !(product && q->J >= along->lanes) &&
                along->reduction_of_one(q, numbers, (const double *)init, step, (double *)dst);
    done = done || (ROWS == 1 && product && along->product_of_one(q, numbers, (const double *)init, step, (double *)dst));
    if (!done && product)
        N(matrix_product)(q, numbers, init, step, dst);
    else if (!done)
        N(reduction)(q, numbers, init, step, dst, true);
    if (q->opcode == OP_dot && !N(all_finite)(dst, q->width * WIDE)) {
        /* An infinity minus an infinite product is nan, but FMA does not round the product: run it unfused. */
        N(reduction)(q, numbers, init, step, dst, false);
    }
}

#if LANES == 1
/* Whether one of the rows in which the condition is x[0], x[1], ... needs what a guard with this `taken` may skip. */
static bool is_needed(const double *x, int rows, bool taken) {
    for (int row = 0; row < rows; row++)
        if ((x[row] != 0) == taken)
            return true;
    return false;
}

/* Run a tape on one row. `numbers` is indexed by the program's addresses: the shared numbers, then those of the row.
   `z` is where the first result of the tape goes. `given` is the same memory for wide instructions. */
static void run_tape(const Program *program, const Numbers *given, const Step *step, double *numbers, double *z) {
#define A numbers[step->a]
#define B numbers[step->b]
#define C numbers[step->c]
#ifdef HAS_GNU_C
#define LABEL(name, ...) &&do_##name,
    static const void *const LABELS[] = {PRIMITIVES(LABEL) REDUCTIONS(LABEL) STEP_CODES(LABEL)};
#undef LABEL
#define ON(name, code) do_##name:
#define NEXT goto *LABELS[step->code] /* a jump after each step is predicted better than one jump for all */
    NEXT;
#else
#define ON(name, code) case code:
#define NEXT continue
    for (;;)
        switch (step->code)
#endif
    {
#define POINTWISE_STEP(name, arity, formula)                                                                           \
    ON(name, OP_##name) {                                                                                              \
        const double c = A, x = arity == 3 ? B : A, y = arity == 1 ? A : arity == 2 ? B : C;                           \
        (void)c, (void)y;                                                                                              \
        *z++ = formula;                                                                                                \
        step++;                                                                                                        \
        NEXT;                                                                                                          \
    }
        PRIMITIVES(POINTWISE_STEP)
#undef POINTWISE_STEP
        ON(SUM3, STEP_SUM3) {
            *z++ = A + B + C;
            step++;
            NEXT;
        }
        ON(DOT2, STEP_DOT2) {
            const int32_t *list = &step[1].code;
            *z++ = A + B * C + numbers[list[0]] * numbers[list[1]];
            step += 2;
            NEXT;
        }
        ON(DOT3, STEP_DOT3) {
            const int32_t *list = &step[1].code;
            *z++ = A + B * C + numbers[list[0]] * numbers[list[1]] + numbers[list[2]] * numbers[list[3]];
            step += 2;
            NEXT;
        }
        ON(SUM, STEP_SUM) {
            const int32_t *list = &step[1].code;
            double sum = A;
            for (int k = 0; k < step->c; k++)
                sum += numbers[list[k]];
            *z++ = sum;
            step += 1 + (step->c + 3) / 4;
            NEXT;
        }
        ON(DOT, STEP_DOT) {
            const int32_t *list = &step[1].code;
            double sum = A;
            for (int k = 0; k < step->c; k++)
                sum += numbers[list[2 * k]] * numbers[list[2 * k + 1]];
            *z++ = sum;
            step += 1 + (step->c + 1) / 2;
            NEXT;
        }
        ON(WIDE, STEP_WIDE) {
            N(execute)(program->instructions + step->a, given, z);
            z += step->b;
            step++;
            NEXT;
        }
        ON(SIN_COS, STEP_SIN_COS) {
            const double x = A;
            z[0] = sin(x);
            z[1] = cos(x);
            z += 2, step += 2;
            NEXT;
        }
        ON(COS_SIN, STEP_COS_SIN) {
            const double x = A;
            z[1] = sin(x);
            z[0] = cos(x);
            z += 2, step += 2;
            NEXT;
        }
        ON(UNLESS, STEP_UNLESS) {
            const bool skips = A == 0;
            z += skips ? step->c : 0, step += skips ? 1 + step->b : 1;
            NEXT;
        }
        ON(UNTIL, STEP_UNTIL) {
            const bool skips = A != 0;
            z += skips ? step->c : 0, step += skips ? 1 + step->b : 1;
            NEXT;
        }
        ON(sum, OP_sum)
        ON(dot, OP_dot)
        ON(END, STEP_END) {
            return;
        }
    }
#undef A
#undef B
#undef C
#undef ON
#undef NEXT
}
#endif

#if LANES > 1
/* The sines and the cosines of WIDE registers. */
ROUTINE NOINLINE void N(sines_and_cosines)(const V *x, V *sines, V *cosines) {
    ONCE for (int w = 0; w < WIDE; w++) {
        const N(Turn) turn = N(turn)(x[w]);
        sines[w] = N(sine_of_turn)(x[w], turn);
        cosines[w] = N(cosine_of_turn)(x[w], turn);
    }
}

/* Run a tape on a block of rows. `splats` has the shared numbers, each in all lanes of WIDE registers. `z` is where the
   first result of the tape goes. Products are not fused with additions, so that infinities stay as they are. */
ROUTINE NOINLINE void N(run_steps)(const Program *program, const Numbers *numbers, const Step *step, const V *splats,
                                   V *z) {
    const V *rows = (const V *)numbers->rows - program->shared * WIDE;
#define NUMBER(address) (((address) < program->shared ? splats : rows) + (ptrdiff_t)(address) * WIDE)
#define EACH_REGISTER UNROLL for (int w = 0; w < WIDE; w++)
#define ON(code, formula)                                                                                              \
    case code: {                                                                                                       \
        const V *a = NUMBER(step->a), *b = NUMBER(step->b), *c = NUMBER(step->c);                                      \
        (void)b, (void)c;                                                                                              \
        EACH_REGISTER z[w] = formula;                                                                                  \
        break;                                                                                                         \
    }
    for (;; step++, z += WIDE)
        switch (step->code) {
            ON(OP_add, a[w] + b[w]) /* these take hardly longer than the call of a routine */
            ON(OP_sub, a[w] - b[w])
            ON(OP_mul, a[w] * b[w])
            ON(OP_div, a[w] / b[w])
            ON(OP_neg, -a[w])
            ON(OP_muladd, a[w] + b[w] * c[w])
            ON(STEP_SUM3, a[w] + b[w] + c[w])
        case STEP_SUM: {
            const int32_t *list = &step[1].code;
            const V *x = NUMBER(step->a);
            V sums[WIDE];
            EACH_REGISTER sums[w] = x[w];
            for (int k = 0; k < step->c; k++) {
                x = NUMBER(list[k]);
                EACH_REGISTER sums[w] += x[w];
            }
            EACH_REGISTER z[w] = sums[w];
            step += (step->c + 3) / 4;
            break;
        }
        case STEP_DOT2:
        case STEP_DOT3:
        case STEP_DOT: {
            const int count = step->code == STEP_DOT ? step->c : step->code == STEP_DOT3 ? 2 : 1; /* of the list */
            const int32_t *list = &step[1].code;
            const V *x = NUMBER(step->a), *y;
            V sums[WIDE];
            EACH_REGISTER sums[w] = x[w];
            if (step->code != STEP_DOT) {
                x = NUMBER(step->b), y = NUMBER(step->c);
                EACH_REGISTER sums[w] += x[w] * y[w];
            }
            for (int k = 0; k < count; k++) {
                x = NUMBER(list[2 * k]), y = NUMBER(list[2 * k + 1]);
                EACH_REGISTER sums[w] += x[w] * y[w];
            }
            EACH_REGISTER z[w] = sums[w];
            step += (count + 1) / 2;
            break;
        }
        case STEP_SIN_COS:
        case STEP_COS_SIN: {
            const bool sine_first = step->code == STEP_SIN_COS;
            N(sines_and_cosines)(NUMBER(step->a), sine_first ? z : z + WIDE, sine_first ? z + WIDE : z);
            step++, z += WIDE;
            break;
        }
        case STEP_WIDE:
            N(execute)(program->instructions + step->a, numbers, z);
            z += (step->b - 1) * WIDE;
            break;
        case STEP_UNLESS:
        case STEP_UNTIL:
            if (!is_needed((const double *)NUMBER(step->a), ROWS, step->code == STEP_UNLESS)) {
                z += step->c * WIDE;
                step += step->b;
            }
            z -= WIDE; /* a jump makes no number */
            break;
        case STEP_END:
            return;
        default: {
            const Line lines[3] = {{(const double *)NUMBER(step->a), 0},
                                   {(const double *)NUMBER(step->b), 0},
                                   {(const double *)NUMBER(step->c), 0}};
            N(FUNCTIONS)[step->code](lines, 1, WIDE, (double *)z, ROWS);
        }
        }
#undef NUMBER
#undef EACH_REGISTER
#undef ON
}
#endif

/* --- Totals ------------------------------------------------------------------------------------------------------- */

/* sums[j][i] += x[k][row][j] y[k][row][i] over `count` of k and `live` rows, for JT of j and IT * LANES of i. */
#define OUTER_TILE(JT, IT, fused)                                                                                      \
    ROUTINE NOINLINE void N(outer_tile_##JT##_##IT##_##fused)(ptrdiff_t count, int live, const double *x,              \
                                                              ptrdiff_t xk, ptrdiff_t xj, const double *y,             \
                                                              ptrdiff_t yk, ptrdiff_t pitch, double *sums) {           \
        V z[JT][IT];                                                                                                   \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                z[j][i] = ((const V *)(sums + j * pitch))[i];                                                          \
        for (; count; count--, x += xk, y += yk)                                                                       \
            for (int row = 0; row < live; row++)                                                                       \
                UNROLL for (int j = 0; j < JT; j++) {                                                                  \
                    V xs = SPLAT(x[j * xj + row]);                                                                     \
                    UNROLL for (int i = 0; i < IT; i++) {                                                              \
                        V ys = ((const V *)(y + row * pitch))[i];                                                      \
                        z[j][i] = fused ? (V)FMA(xs, ys, z[j][i]) : (V)(z[j][i] + xs * ys);                            \
                    }                                                                                                  \
                }                                                                                                      \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                ((V *)(sums + j * pitch))[i] = z[j][i];                                                                \
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
ROUTINE NOINLINE void N(outer_product)(const Instruction *q, int rows, int live, Workspace *workspace, bool fused) {
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
ROUTINE void N(accumulate)(const Instruction *q, const Numbers *numbers, int live, Workspace *workspace) {
    V *lanes = (V *)workspace->lanes + q->lanes_at;
    Line terms = {workspace->terms, ROWS};
    if (q->opcode == OP_detach)
        terms = N(in_line)(q->operands, numbers, q->I, 0, q->width, (V *)workspace->terms);
    else
        N(execute)(q, numbers, (V *)workspace->terms);
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

ROUTINE void N(write_rows)(const Program *program, const Numbers *numbers, ptrdiff_t first, int live, Tables outputs) {
    const int32_t *result = program->results;
    if (ROWS == 1 && outputs.count == 1) {
        double *to = outputs.tables->numbers + first * program->results_count;
        for (const Run *run = program->copies, *end = run + program->copies_count; run < end; to += run++->count) {
            const bool shared = run->first < program->shared;
            const double *from = (shared ? numbers->shared : numbers->rows - program->shared) + run->first;
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
            const double *x = shared ? numbers->shared + *result : numbers->rows + (*result - program->shared) * ROWS;
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
#ifdef HAS_GNU_C
    for (const Table *table = tables.tables, *end = table + tables.count; table < end; table++)
        for (ptrdiff_t at = first * table->width; table->width <= 4 && at < last * table->width; at += 8)
            __builtin_prefetch(table->numbers + at);
#else
    (void)tables, (void)first, (void)last;
#endif
}

/* Run the `each` instructions on a block, except those that no row needs. */
ROUTINE void N(run_each)(const Program *program, const Numbers *numbers, V *rows) {
    const Guard *guard = program->guards;
    const ptrdiff_t end = program->once + program->each;
    for (ptrdiff_t n = program->once; n < end;) {
        if (guard->begin <= n) { /* it begins here, or in what was skipped */
            const ptrdiff_t at = guard->condition - program->shared;
            const double *x = at < 0 ? numbers->shared + guard->condition : numbers->rows + at * ROWS;
            if (guard->begin == n && !is_needed(x, at < 0 ? 1 : ROWS, guard->taken))
                n = guard->end;
            guard++;
            continue;
        }
        const Instruction *q = program->instructions + n++;
        N(execute)(q, numbers, rows + q->dst * WIDE);
    }
}

/* Run the rows from `row` to `last - 1`: write their results, and add their sums to workspace->sums. `fused` allows
   FMA in totals. False if it was used and a sum is not finite: then it may be wrong, see N(execute). */
static TARGET bool N(run_rows)(const Program *program, const Numbers *numbers, Tables inputs, Tables outputs,
                               ptrdiff_t row, ptrdiff_t last, Workspace *workspace, bool fused) {
    const Instruction *each = program->instructions + program->once, *total = each + program->each;
    const Instruction *end = total + program->total;
    memset(workspace->lanes, 0, program->lanes_size * LANES * sizeof(double));
#if LANES > 1
    V *splats = (V *)workspace->splats;
    for (ptrdiff_t s = 0; splats && s < program->shared; s++)
        for (int w = 0; w < WIDE; w++)
            splats[s * WIDE + w] = SPLAT(numbers->shared[s]);
#endif
    for (; row < last; row += ROWS) {
        int live = (int)(last - row < ROWS ? last - row : ROWS);
        N(read_rows)(inputs, row, live, (V *)workspace->rows);
        if (live == ROWS && ROWS > 1) {
            N(prefetch)(outputs, row, row + ROWS);
            N(prefetch)(inputs, row + ROWS, last < row + 2 * ROWS ? last : row + 2 * ROWS);
        }
#if LANES == 1
        double *shared = workspace->rows - program->shared;
        if (shared == numbers->shared)
            run_tape(program, numbers, program->each_tape, shared, workspace->rows + program->inputs);
        else
#else
        if (splats)
            N(run_steps)(program, numbers, program->each_tape, splats, (V *)workspace->rows + program->inputs * WIDE);
        else
#endif
            N(run_each)(program, numbers, (V *)workspace->rows);
        N(write_rows)(program, numbers, row, live, outputs);
        for (const Instruction *q = total; q < end; q++)
            if (q->form == OUTER)
                (ROWS == 1 ? numbers->kind->outer_product : N(outer_product))(q, ROWS, live, workspace, fused);
            else
                N(accumulate)(q, numbers, live, workspace);
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

#if LANES == 1
/* Run the `once` instructions, which compute numbers that all rows share. */
static void run_once(const Program *program, const Numbers *numbers, double *shared) {
    run_tape(program, numbers, program->once_tape, shared, shared + program->constants + program->captured);
}
#endif

/* The other macros are the same for each kind. */
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
