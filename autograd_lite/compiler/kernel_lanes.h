/* One block of a program: LANES rows side by side.

   kernel.c includes this file once for each kind of machine, having defined

       LANES    how many rows there are in a block: 1, 2, 4 or 8
       TARGET   the attribute that lets the C compiler use the machine's instructions
       FMA      x * y + z, rounded once where the machine can   (these three have a plain form below)
       SQRT     the square root in each lane
       ANY      whether a mask has a lane set

   and gets N(run_rows), in which N(name) stands for name_LANES, and with LANES = 1 run_once too. A V is LANES numbers
   and fills one register; what is written here for one number is done to all of them. With LANES = 1 a V is a double:
   plain C, for any compiler, with the C library's functions. */

#define N(name) PASTE(name, LANES)
#define V N(Lanes)
#define M N(Mask)
#define Bits N(Bits)

#if LANES == 1
#define INLINE static inline
#define SPLAT(x) (x)
#define SELECT(mask, x, y) ((mask) ? (x) : (y))
#define LANE(x, l) (x)
#define ANY_OF(mask) (mask)
typedef double V;
typedef int M;
#else
#define INLINE static inline __attribute__((always_inline)) TARGET
#define SPLAT(x) ((x) - (V){0})
#define LANE(x, l) ((x)[l])
#define ANY_OF(mask) N(any)(mask)
typedef double V __attribute__((vector_size(8 * LANES), may_alias));
typedef int64_t M __attribute__((vector_size(8 * LANES), may_alias));
typedef uint64_t Bits __attribute__((vector_size(8 * LANES), may_alias));
typedef double N(Unaligned) __attribute__((vector_size(8 * LANES), may_alias, aligned(8)));

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

#ifndef FMA
#define FMA(x, y, z) ((x) * (y) + (z))
#endif
#ifndef SQRT
#define SQRT(x) N(sqrt)(x)
#endif
#ifndef SELECT
#define SELECT(mask, x, y) N(select)(mask, x, y)
#endif
#ifndef ANY
#define ANY(mask) ANY_OF(mask)
#endif

/* --- Functions of a number ---------------------------------------------------------------------------------------- */

/* z = f(x) by the C library, in the lanes of `mask`. */
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
BY_LIBRARY(sin) BY_LIBRARY(cos) BY_LIBRARY(tan) BY_LIBRARY(asin) BY_LIBRARY(acos) BY_LIBRARY(atan)
BY_LIBRARY(sinh) BY_LIBRARY(cosh) BY_LIBRARY(sqrt)

#if LANES == 1
BY_LIBRARY(fabs) BY_LIBRARY(exp) BY_LIBRARY(expm1) BY_LIBRARY(log) BY_LIBRARY(log1p) BY_LIBRARY(tanh)

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

/* A number to which an integer is added to round it: the integer is then in its lowest bits, too. */
#define ROUNDER 0x1.8p52

/* 2^k of an integer k from -1022 to 1023. */
INLINE V N(power_of_2)(V k) {
    return (V)(((Bits)(k + ROUNDER) << 52) + 0x3FF0000000000000);
}

/* x = k log 2 + r with |r| <= log(2) / 2: gives exp(r) - 1. */
INLINE V N(expm1_of_rest)(V x, V *k) {
    *k = FMA(x, SPLAT(LOG2_E), SPLAT(ROUNDER)) - ROUNDER;
    V r = FMA(*k, SPLAT(-LOG_2_LOW), FMA(*k, SPLAT(-LOG_2_HIGH), x));
    return FMA(r * r, N(polynomial)(EXPM1, 10, r), r);
}

/* Beyond -746 it is 0 and beyond 710 infinite. 2^k is applied in two steps, so that both ends are reached smoothly. */
INLINE V N(exp)(V x) {
    V k;
    x = SELECT(x < -746, SPLAT(-746.0), x);
    x = SELECT(x > 710, SPLAT(710.0), x);
    V p = N(expm1_of_rest)(x, &k);
    V half = FMA(k, SPLAT(0.5), SPLAT(ROUNDER)) - ROUNDER;
    return (1 + p) * N(power_of_2)(half) * N(power_of_2)(k - half);
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

/* For 0 <= x <= 1, or nan. What rounding takes from 1 + x comes back in the second term. */
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

/* x^n by squaring, of an integer n. */
INLINE V N(power)(V x, int n) {
    V base = n < 0 ? (V)(1 / x) : x;
    V z = SPLAT(1.0);
    for (n = abs(n); n; n >>= 1, base *= base)
        if (n & 1)
            z *= base;
    return z;
}

/* The exponent is nearly always the same constant in all lanes, and nearly always an integer or a half more. */
INLINE V N(pow)(V x, V y) {
    double n = y[0], twice = 2 * n;
    M differs = y != SPLAT(n);
    if (!ANY(differs) && fabs(n) <= 32 && twice == rint(twice)) {
        if (n == rint(n))
            return N(power)(x, (int)n);
        x = SELECT(x == -INFINITY, SPLAT(INFINITY), x + 0.0); /* as pow has it; -0.0 + 0.0 is 0.0 */
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

/* --- Operands ----------------------------------------------------------------------------------------------------- */

INLINE V N(load)(const double *space, ptrdiff_t address, bool shared) {
    if (shared)
        return SPLAT(space[address]);
    return ((const V *)space)[address];
}

/* Copy to `line` the operand at `count` points of the J x I nest from `first` on. */
ROUTINE NOINLINE void N(copy)(const Operand *x, const Numbers *numbers, ptrdiff_t I, ptrdiff_t first, ptrdiff_t count,
                              V *line) {
    const double *space = x->shared ? numbers->shared : numbers->rows;
    const bool shared = x->shared;
    if (x->table) {
        const int32_t *table = x->table + first;
        for (ptrdiff_t p = 0; p < count; p++)
            line[p] = N(load)(space, table[p], shared);
        return;
    }
    if (x->flat) /* one long line */
        I = first + count;
    ptrdiff_t j = x->flat ? 0 : first / I, i = first - j * I, inner = x->step;
    for (V *end = line + count; line < end; i = 0, j++) {
        ptrdiff_t address = x->start + j * x->outer + i * inner, length = end - line < I - i ? end - line : I - i;
        for (ptrdiff_t p = 0; p < length; p++, address += inner)
            line[p] = N(load)(space, address, shared);
        line += length;
    }
}

/* Where that is if it stands somewhere in line, else a copy of it in `line`. From point to point it moves by `step`.
   What is the same at all points is put in `one`. */
INLINE const V *N(in_line)(const Operand *x, const Numbers *numbers, ptrdiff_t I, ptrdiff_t first, ptrdiff_t count,
                           V *line, V *one, ptrdiff_t *step) {
    *step = x->step;
    if (x->flat && (!x->shared || LANES == 1))
        return (const V *)(x->shared ? numbers->shared : numbers->rows) + x->start + first * x->step;
    if (x->flat && x->step == 0) {
        *one = SPLAT(numbers->shared[x->start]);
        return one;
    }
    *step = 1;
    N(copy)(x, numbers, I, first, count, line);
    return line;
}

/* --- Instructions ------------------------------------------------------------------------------------------------- */

#define POINTS(arity, ic, ix, iy, formula)                                                                             \
    for (ptrdiff_t p = 0; p < count; p++) {                                                                            \
        V c = pc[arity < 3 ? 0 : ic], x = px[ix], y = py[arity < 2 ? 0 : iy];                                          \
        (void)c, (void)y;                                                                                              \
        z[p] = formula;                                                                                                \
    }

/* One number from one number of each operand: a function for each row of the table. */
#define FUNCTION(name, arity, formula)                                                                               \
    ROUTINE NOINLINE void N(do_##name)(const Instruction *q, const Numbers *numbers, V *dst) {                         \
        ptrdiff_t sc = 0, sx = 0, sy = 0;                                                                              \
        V *line = (V *)numbers->lines;                                                                                 \
        for (ptrdiff_t first = 0; first < q->width; first += CHUNK) {                                                  \
            ptrdiff_t count = q->width - first < CHUNK ? q->width - first : CHUNK;                                     \
            const V *pc = line, *px, *py = line;                                                                       \
            const Operand *operand = q->operands;                                                                      \
            if (arity == 3)                                                                                            \
                pc = N(in_line)(operand++, numbers, q->I, first, count, line, line, &sc);                              \
            px = N(in_line)(operand++, numbers, q->I, first, count, line + CHUNK, line + CHUNK, &sx);                  \
            if (arity >= 2)                                                                                            \
                py = N(in_line)(operand, numbers, q->I, first, count, line + 2 * CHUNK, line + 2 * CHUNK, &sy);        \
            V *z = dst + first;                                                                                        \
            if (sx == 1 && (arity < 2 || sy == 1) && (arity < 3 || sc == 1))                                           \
                POINTS(arity, p, p, p, formula)                                                                        \
            else                                                                                                       \
                POINTS(arity, p *sc, p *sx, p *sy, formula)                                                            \
        }                                                                                                              \
    }
#define ONE(name, formula) FUNCTION(name, 1, formula)
#define TWO(name, formula) FUNCTION(name, 2, formula)
#define THREE(name, formula) FUNCTION(name, 3, formula)
PRIMITIVES(ONE, TWO, THREE)
#undef ONE
#undef TWO
#undef THREE

#define DO(name, _) N(do_##name),
static void (*const N(FUNCTIONS)[])(const Instruction *, const Numbers *, V *) = {PRIMITIVES(DO, DO, DO)};
#undef DO

/* The numbers of an operand over k: at the addresses in a table, or at equal distances. */
typedef struct {
    const int32_t *table;
    const double *space;
    ptrdiff_t depth;
} N(Stream);

INLINE N(Stream) N(stream)(bool gathered, bool shared, const Numbers *numbers, const Operand *x, ptrdiff_t at) {
    const double *space = shared ? numbers->shared : numbers->rows;
    ptrdiff_t width = shared ? 1 : LANES;
    return gathered ? (N(Stream)){x->table + at, space, 0} : (N(Stream)){NULL, space + at * width, x->depth * width};
}

INLINE V N(next)(bool gathered, bool shared, N(Stream) *xs) {
    if (gathered)
        return N(load)(xs->space, *xs->table++, shared);
    V z = N(load)(xs->space, 0, shared);
    xs->space += xs->depth;
    return z;
}

/* init + x[0] y[0] + ... + x[K-1] y[K-1], or without y. The flags are constants wherever this is called. */
INLINE V N(reduce)(bool product, bool fused, bool gathered, bool x_shared, bool y_shared, const Numbers *numbers,
                   const Operand *x, const Operand *y, ptrdiff_t x_at, ptrdiff_t y_at, ptrdiff_t K, V init) {
    N(Stream) xs = N(stream)(gathered, x_shared, numbers, x, x_at), ys = xs;
    if (product)
        ys = N(stream)(gathered, y_shared, numbers, y, y_at);
#define ADD(z)                                                                                                         \
    do {                                                                                                               \
        V a = N(next)(gathered, x_shared, &xs);                                                                        \
        V b = product ? N(next)(gathered, y_shared, &ys) : a;                                                          \
        z = !product ? (V)(z + a) : fused ? (V)FMA(a, b, z) : (V)(z + a * b);                                          \
    } while (0)
    V z = init;
    if (K >= 8) { /* four sums at a time, for none has to wait for the one before */
        V z1 = SPLAT(-0.0), z2 = z1, z3 = z1;
        for (; K >= 4; K -= 4) {
            ADD(z);
            ADD(z1);
            ADD(z2);
            ADD(z3);
        }
        z = (z + z1) + (z2 + z3);
    }
    for (; K; K--)
        ADD(z);
    return z;
#undef ADD
}

/* sum or dot at each point, from the numbers at `init`. */
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
                dst[n] = N(reduce)(p, f, g, s, t, numbers, x, y, x_at, y_at, q->K, init[n * step]);                    \
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

/* JT x IT of the results of a MATRIX_PRODUCT: z[j, i] = init[j, i] + the sum of x[j, k] y[i, k] over k. A function for
   each size of tile, so that what its loop needs stays in registers. */
#define TILE(JT, IT, shared)                                                                                           \
    ROUTINE NOINLINE void N(tile_##JT##_##IT##_##shared)(const Instruction *q, const double *x, const double *y,       \
                                                         const V *init, ptrdiff_t step, V *z) {                        \
        const ptrdiff_t xj = q->operands[1].outer * (shared ? 1 : LANES);                                              \
        const ptrdiff_t xk = q->operands[1].depth * (shared ? 1 : LANES);                                              \
        const ptrdiff_t yi = q->operands[2].inner * LANES, yk = q->operands[2].depth * LANES;                          \
        const ptrdiff_t dj = q->dj, di = q->di;                                                                        \
        V sums[JT][IT];                                                                                                \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                sums[j][i] = init[(j * dj + i * di) * step];                                                           \
        for (ptrdiff_t k = q->K; k; k--, x += xk, y += yk)                                                             \
            UNROLL for (int j = 0; j < JT; j++)                                                                        \
                UNROLL for (int i = 0; i < IT; i++)                                                                    \
                    sums[j][i] = FMA(N(load)(x + j * xj, 0, shared), *(const V *)(y + i * yi), sums[j][i]);            \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                z[j * dj + i * di] = sums[j][i];                                                                       \
    }
TILE(4, 1, 0) TILE(8, 1, 0) TILE(4, 2, 0) TILE(4, 1, 1) TILE(8, 1, 1) TILE(4, 2, 1)

static void (*const N(TILES)[2][3])(const Instruction *, const double *, const double *, const V *, ptrdiff_t, V *) = {
    {N(tile_4_1_0), N(tile_8_1_0), N(tile_4_2_0)},
    {N(tile_4_1_1), N(tile_8_1_1), N(tile_4_2_1)},
};

/* dot where x depends on j and k only, and y, which is in rows, on i and k only, from the numbers at `init`. */
ROUTINE NOINLINE void N(matrix_product)(const Instruction *q, const Numbers *numbers, const V *init, ptrdiff_t step,
                                        V *dst) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    const bool shared = x->shared;
    const ptrdiff_t J = q->J, I = q->I, xj = x->outer * (shared ? 1 : LANES), yi = y->inner * LANES;
    const double *xs = shared ? numbers->shared + x->start : numbers->rows + x->start * LANES;
    const double *ys = numbers->rows + y->start * LANES;
    for (ptrdiff_t i = 0, wide; i < I; i += wide) {
        wide = I - i < 2 || J < 4 ? 1 : 2;
        for (ptrdiff_t j = 0, high; j < J; j += high) {
            high = J - j < 4 ? 1 : wide == 2 || J - j < 8 ? 4 : 8;
            ptrdiff_t n = j * q->dj + i * q->di;
            if (high > 1) {
                int tile = wide == 2 ? 2 : high == 8;
                N(TILES)[shared][tile](q, xs + j * xj, ys + i * yi, init + n * step, step, dst + n);
                continue;
            }
            for (ptrdiff_t b = i; b < i + wide; b++, n += q->di) {
                ptrdiff_t x_at = x->start + j * x->outer, y_at = y->start + b * y->inner;
                V z = init[n * step];
                dst[n] = shared ? N(reduce)(1, 1, 0, 1, 0, numbers, x, y, x_at, y_at, q->K, z)
                                : N(reduce)(1, 1, 0, 0, 0, numbers, x, y, x_at, y_at, q->K, z);
            }
        }
    }
}

/* Whether none is infinite or nan. */
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
    if (q->form == POINTWISE) {
        N(FUNCTIONS)[q->opcode](q, numbers, dst);
        return;
    }
    ptrdiff_t step;
    const V *init = N(in_line)(q->operands, numbers, q->init_I, 0, q->width, dst, (V *)numbers->lines, &step);
    if (q->form == MATRIX_PRODUCT)
        N(matrix_product)(q, numbers, init, step, dst);
    else
        N(reduction)(q, numbers, init, step, dst, true);
    if (q->opcode == OP_dot && !N(all_finite)(dst, q->width)) {
        /* An infinity minus an infinite product is nan. FMA, which never makes the product, may have missed that. */
        init = N(in_line)(q->operands, numbers, q->init_I, 0, q->width, dst, (V *)numbers->lines, &step);
        N(reduction)(q, numbers, init, step, dst, false);
    }
}

/* --- Totals ------------------------------------------------------------------------------------------------------- */

#if LANES == 8
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s)
#elif LANES == 4
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#else
#define EACH_LANE(f, s) f(0, s), f(1, s)
#endif

/* In 2 x 2 blocks of s x s numbers, exchange the upper right with the lower left. */
#define EXCHANGE(s)                                                                                                    \
    UNROLL for (int i = 0; i < LANES; i++)                                                                             \
        if (!(i & s)) {                                                                                                \
            V upper = block[i], lower = block[i + s];                                                                  \
            block[i] = SHUFFLE(upper, lower, EACH_LANE(FROM_LEFT, s));                                                 \
            block[i + s] = SHUFFLE(upper, lower, EACH_LANE(FROM_RIGHT, s));                                            \
        }
#define FROM_LEFT(l, s) ((l) & (s) ? ((l) - (s) + LANES) : (l))
#define FROM_RIGHT(l, s) ((l) & (s) ? (l) + LANES : ((l) + (s)))

/* The block of LANES x LANES numbers with rows and columns exchanged. */
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

/* sums[j][i] += x[row][j] y[row][i] over `live` rows, for JT of j and IT * LANES of i. */
#define OUTER_TILE(JT, IT, fused)                                                                                      \
    ROUTINE NOINLINE void N(outer_tile_##JT##_##IT##_##fused)(int live, const double *x, ptrdiff_t xj,                 \
                                                              const double *y, ptrdiff_t pitch, double *sums) {        \
        V z[JT][IT];                                                                                                   \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                z[j][i] = ((const V *)(sums + j * pitch))[i];                                                          \
        for (int row = 0; row < live; row++, x++, y += pitch)                                                          \
            UNROLL for (int j = 0; j < JT; j++) {                                                                      \
                V xs = SPLAT(x[j * xj]);                                                                               \
                UNROLL for (int i = 0; i < IT; i++) {                                                                  \
                    V ys = ((const V *)y)[i];                                                                          \
                    z[j][i] = fused ? (V)FMA(xs, ys, z[j][i]) : (V)(z[j][i] + xs * ys);                                \
                }                                                                                                      \
            }                                                                                                          \
        UNROLL for (int j = 0; j < JT; j++)                                                                            \
            UNROLL for (int i = 0; i < IT; i++)                                                                        \
                ((V *)(sums + j * pitch))[i] = z[j][i];                                                                \
    }
OUTER_TILE(1, 1, 0) OUTER_TILE(2, 1, 0) OUTER_TILE(4, 1, 0) OUTER_TILE(1, 2, 0) OUTER_TILE(2, 2, 0) OUTER_TILE(4, 2, 0)
OUTER_TILE(1, 1, 1) OUTER_TILE(2, 1, 1) OUTER_TILE(4, 1, 1) OUTER_TILE(1, 2, 1) OUTER_TILE(2, 2, 1) OUTER_TILE(4, 2, 1)

static void (*const N(OUTER_TILES)[2][2][3])(int, const double *, ptrdiff_t, const double *, ptrdiff_t, double *) = {
    {{N(outer_tile_1_1_0), N(outer_tile_2_1_0), N(outer_tile_4_1_0)},
     {N(outer_tile_1_2_0), N(outer_tile_2_2_0), N(outer_tile_4_2_0)}},
    {{N(outer_tile_1_1_1), N(outer_tile_2_1_1), N(outer_tile_4_1_1)},
     {N(outer_tile_1_2_1), N(outer_tile_2_2_1), N(outer_tile_4_2_1)}},
};

/* A matrix of sums over the rows, of products of two numbers of a row. Lanes run along the matrix, not along the rows,
   so that a sum is one number and not LANES of them. */
ROUTINE NOINLINE void N(outer_product)(const Instruction *q, int live, Desk *desk, bool fused) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    const ptrdiff_t J = q->J, I = q->I, pitch = q->pitch, xj = x->outer * LANES, yi = y->inner;
    const ptrdiff_t vectors = pitch / LANES;
    double *sums = desk->sums + q->at, *turned = desk->turned;
    for (ptrdiff_t k = 0; k < q->K; k++) {
        const V *ys = (const V *)desk->rows + y->start + k * y->depth;
        for (ptrdiff_t first = 0; first < pitch; first += LANES) {
            V block[LANES];
            if (I - first >= LANES)
                for (int l = 0; l < LANES; l++)
                    block[l] = ys[(first + l) * yi];
            else
                for (int l = 0; l < LANES; l++)
                    block[l] = first + l < I ? ys[(first + l) * yi] : (V)SPLAT(0.0);
            N(transpose)(block);
            for (int row = 0; row < LANES; row++)
                *(V *)(turned + row * pitch + first) = block[row];
        }
        const double *xs = desk->rows + (x->start + k * x->depth) * LANES;
        for (ptrdiff_t i = 0, wide; i < vectors; i += wide) {
            wide = vectors - i < 2 ? 1 : 2;
            for (ptrdiff_t j = 0, high; j < J; j += high) {
                high = J - j < 2 ? 1 : J - j < 4 ? 2 : 4;
                N(OUTER_TILES)[fused][wide - 1][high / 2](live, xs + j * xj, xj, turned + i * LANES, pitch,
                                                         sums + j * pitch + i * LANES);
            }
        }
    }
}

/* Any other total: the numbers of the rows, and then their sums lane by lane. */
ROUTINE void N(accumulate)(const Instruction *q, const Numbers *numbers, int live, Desk *desk) {
    V *terms = (V *)desk->terms, *lanes = (V *)desk->lanes + q->lanes_at;
    N(execute)(q, numbers, terms);
    const ptrdiff_t width = q->width;
    M alive;
    for (int l = 0; l < LANES; l++)
        LANE(alive, l) = l < live ? -1 : 0;
    for (ptrdiff_t p = 0; p < width; p++)
        lanes[p] += SELECT(alive, terms[p], SPLAT(0.0));
}

/* --- Blocks ------------------------------------------------------------------------------------------------------- */

/* In a block of fewer rows the last one is repeated, so that no lane has numbers that are nobody's. */
ROUTINE void N(read_rows)(const double *input, ptrdiff_t inputs, int live, V *rows) {
    ptrdiff_t a = 0;
#if LANES > 1
    if (live == LANES)
        for (; a + LANES <= inputs; a += LANES) {
            V block[LANES];
            for (int l = 0; l < LANES; l++)
                block[l] = *(const N(Unaligned) *)(input + l * inputs + a);
            N(transpose)(block);
            for (int l = 0; l < LANES; l++)
                rows[a + l] = block[l];
        }
#endif
    for (; a < inputs; a++)
        for (int l = 0; l < LANES; l++)
            LANE(rows[a], l) = input[(l < live ? l : live - 1) * inputs + a];
}

ROUTINE void N(write_rows)(const Program *program, const Numbers *numbers, int live, double *output) {
    for (ptrdiff_t r = 0; r < program->results_count; r++) {
        ptrdiff_t address = program->results[r];
        bool shared = address < program->shared;
        const double *x = shared ? numbers->shared + address : numbers->rows + (address - program->shared) * LANES;
        for (int l = 0; l < live; l++)
            output[l * program->results_count + r] = x[shared ? 0 : l];
    }
}

static TARGET void N(run_blocks)(const Program *program, const Numbers *numbers, const double *input, double *output,
                                 ptrdiff_t n, Desk *desk, bool fused) {
    memset(desk->sums, 0, program->sums_size * sizeof(double));
    memset(desk->lanes, 0, program->lanes_size * LANES * sizeof(double));
    for (ptrdiff_t row = 0; row < n; row += LANES) {
        int live = (int)(n - row < LANES ? n - row : LANES);
        N(read_rows)(input + row * program->inputs, program->inputs, live, (V *)desk->rows);
        const Instruction *q = program->instructions + program->once, *end = q + program->each;
        for (; q < end; q++)
            N(execute)(q, numbers, (V *)desk->rows + q->dst);
        N(write_rows)(program, numbers, live, output + row * program->results_count);
        for (end += program->total; q < end; q++)
            if (q->form == OUTER)
                N(outer_product)(q, live, desk, fused);
            else
                N(accumulate)(q, numbers, live, desk);
    }
    const Instruction *q = program->instructions + program->once + program->each, *end = q + program->total;
    for (; q < end; q++)
        if (q->form != OUTER)
            for (ptrdiff_t p = 0; p < q->width; p += LANES) {
                V block[LANES], *sums = (V *)(desk->sums + q->at + p);
                memcpy(block, (V *)desk->lanes + q->lanes_at + p, sizeof(block));
                N(transpose)(block);
                for (int l = 0; l < LANES; l++)
                    *sums += block[l];
            }
}

/* The results of n rows, and in desk->sums their sums; made again without FMA if one is not finite, see N(execute). */
static TARGET void N(run_rows)(const Program *program, const Numbers *numbers, const double *input, double *output,
                               ptrdiff_t n, Desk *desk) {
    N(run_blocks)(program, numbers, input, output, n, desk, true);
    if (program->outer && !N(all_finite)((V *)desk->sums, program->sums_size / LANES))
        N(run_blocks)(program, numbers, input, output, n, desk, false);
}

#if LANES == 1
/* The numbers that all rows share. */
static void run_once(const Program *program, double *shared) {
    double lines[3 * CHUNK];
    Numbers numbers = {shared, NULL, lines};
    for (const Instruction *q = program->instructions, *end = q + program->once; q < end; q++)
        N(execute)(q, &numbers, shared + q->dst);
}
#endif

#undef N
#undef V
#undef M
#undef Bits
#undef INLINE
#undef SPLAT
#undef SELECT
#undef LANE
#undef LIBRARY
#undef BY_LIBRARY
#undef ROUNDER
#undef TILE
#undef FUNCTION
#undef OUTER_TILE
#undef POINTS
#undef EACH_LANE
#undef EXCHANGE
#undef FROM_LEFT
#undef FROM_RIGHT
#undef LANES
#undef TARGET
#undef FMA
#undef SQRT
#undef ANY
#undef ANY_OF
