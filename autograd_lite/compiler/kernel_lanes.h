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
#define SELECT(mask, x, y) N(select)(mask, x, y)
#define LANE(x, l) ((x)[l])
#define ANY_OF(mask) N(any)(mask)
typedef double V __attribute__((vector_size(8 * LANES), may_alias));
typedef int64_t M __attribute__((vector_size(8 * LANES), may_alias));
typedef uint64_t Bits __attribute__((vector_size(8 * LANES), may_alias));
typedef double N(Unaligned) __attribute__((vector_size(8 * LANES), may_alias, aligned(8)));

INLINE V N(select)(M mask, V x, V y) {
    return (V)((mask & (M)x) | (~mask & (M)y));
}

/* In lane l, lane from[l] of x and y one after the other. */
INLINE V N(shuffle)(V x, V y, M from) {
#ifdef __clang__
    V z = x;
    UNROLL
    for (int l = 0; l < LANES; l++)
        z[l] = from[l] < LANES ? x[from[l]] : y[from[l] - LANES];
    return z;
#else
    return __builtin_shuffle(x, y, from);
#endif
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
    V z = -t / (2 + t);
    return (V)((M)z | ((M)x & INT64_MIN));
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

#define NORMAL(x) ((x >= DBL_MIN) & (x <= DBL_MAX))

INLINE V N(log)(V x) {
    V z = N(log_of_normal)(x);
    M hostile = ~NORMAL(x);
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

/* --- Operands ------------------------------------------------------------------------------------------------------ */

INLINE const double *N(space)(const Operand *x, const Numbers *numbers) {
    return x->shared ? numbers->shared : numbers->rows;
}

INLINE V N(load)(const double *space, ptrdiff_t address, bool shared) {
    if (shared)
        return SPLAT(space[address]);
    return ((const V *)space)[address];
}

/* The operand at `count` points of the J x I nest from `first` on: where it is if it stands there in line, else copied
   to `line`. It moves by `step` from one point to the next. */
ROUTINE const V *N(in_line)(const Operand *x, const Numbers *numbers, ptrdiff_t I, ptrdiff_t first, int count, V *line,
                            ptrdiff_t *step) {
    const double *space = N(space)(x, numbers);
    if (!x->table && x->flat && (!x->shared || LANES == 1)) {
        *step = x->step;
        return (const V *)space + x->start + first * x->step;
    }
    *step = 1;
    if (x->table) {
        for (int p = 0; p < count; p++)
            line[p] = N(load)(space, x->table[first + p], x->shared);
    } else if (x->flat) {
        for (int p = 0; p < count; p++)
            line[p] = N(load)(space, x->start + (first + p) * x->step, x->shared);
    } else {
        ptrdiff_t j = first / I, i = first % I;
        for (int p = 0; p < count; p++) {
            line[p] = N(load)(space, x->start + j * x->outer + i * x->inner, x->shared);
            if (++i == I)
                i = 0, j++;
        }
    }
    return line;
}

/* --- Instructions -------------------------------------------------------------------------------------------------- */

#define CHUNK 32

/* One number from one number of each operand. */
ROUTINE void N(pointwise)(const Instruction *q, const Numbers *numbers, V *dst) {
    V lines[3][CHUNK];
    ptrdiff_t sx, sy = 0, sw = 0;
    for (ptrdiff_t first = 0; first < q->width; first += CHUNK) {
        int count = (int)(q->width - first < CHUNK ? q->width - first : CHUNK);
        const V *px, *py = NULL, *pw = NULL;
        px = N(in_line)(&q->operands[0], numbers, q->I, first, count, lines[0], &sx);
        if (q->arity > 1)
            py = N(in_line)(&q->operands[1], numbers, q->I, first, count, lines[1], &sy);
        if (q->arity > 2)
            pw = N(in_line)(&q->operands[2], numbers, q->I, first, count, lines[2], &sw);
        V *z = dst + first;
        switch (q->opcode) {
#define ONE(name, formula)                                                                                             \
    case OP_##name:                                                                                                    \
        for (int p = 0; p < count; p++) {                                                                              \
            V x = px[p * sx];                                                                                          \
            z[p] = formula;                                                                                            \
        }                                                                                                              \
        break;
#define TWO(name, formula)                                                                                             \
    case OP_##name:                                                                                                    \
        for (int p = 0; p < count; p++) {                                                                              \
            V x = px[p * sx], y = py[p * sy];                                                                          \
            z[p] = formula;                                                                                            \
        }                                                                                                              \
        break;
#define THREE(name, formula)                                                                                           \
    case OP_##name:                                                                                                    \
        for (int p = 0; p < count; p++) {                                                                              \
            V c = px[p * sx], x = py[p * sy], y = pw[p * sw];                                                          \
            z[p] = formula;                                                                                            \
        }                                                                                                              \
        break;
            PRIMITIVES(ONE, TWO, THREE)
#undef ONE
#undef TWO
#undef THREE
        default: /* sum and dot, which are not POINTWISE */
            break;
        }
    }
}

/* A sum with a number that is not finite has to be made again without FMA: an infinity minus an infinite product is nan,
   and FMA, which never makes the product, may miss that. */
INLINE bool N(finite)(V x) {
    M hostile = x - x != 0;
    return !ANY(hostile);
}

/* init + x[0] y[0] + ... + x[K-1] y[K-1], or without y. The flags are constants wherever this is called. */
INLINE V N(reduce)(bool product, bool gathered, bool x_shared, bool y_shared, const Numbers *numbers, const Operand *x,
                   const Operand *y, ptrdiff_t x_at, ptrdiff_t y_at, ptrdiff_t K, V init) {
    const double *xs = x_shared ? numbers->shared : numbers->rows, *ys = y_shared ? numbers->shared : numbers->rows;
#define X(k) N(load)(xs, gathered ? x->table[x_at + (k)] : x_at + (k) * x->depth, x_shared)
#define Y(k) N(load)(ys, gathered ? y->table[y_at + (k)] : y_at + (k) * y->depth, y_shared)
#define ADD(z, k) z = product ? (V)FMA(X(k), Y(k), z) : (V)(z + X(k))
    V z = init;
    ptrdiff_t k = 0;
    if (K >= 8) { /* four sums at a time, for none has to wait for the one before */
        V a = SPLAT(-0.0), b = a, c = a;
        for (; k + 4 <= K; k += 4) {
            ADD(z, k);
            ADD(a, k + 1);
            ADD(b, k + 2);
            ADD(c, k + 3);
        }
        z = (z + a) + (b + c);
    }
    for (; k < K; k++)
        ADD(z, k);
    if (product && !N(finite)(z)) {
        z = init;
        for (k = 0; k < K; k++)
            z += X(k) * Y(k);
    }
    return z;
#undef X
#undef Y
#undef ADD
}

/* sum or dot at each point; `dst` holds the numbers to start from. */
ROUTINE void N(reduction)(const Instruction *q, const Numbers *numbers, V *dst) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    bool product = q->opcode == OP_dot, gathered = x->table != NULL;
#define CASE(p, g, s, t)                                                                                               \
    case p << 3 | g << 2 | s << 1 | t:                                                                                 \
        for (ptrdiff_t j = 0, n = 0; j < q->J; j++)                                                                    \
            for (ptrdiff_t i = 0; i < q->I; i++, n++) {                                                                \
                ptrdiff_t x_at = g ? n * q->K : x->start + j * x->outer + i * x->inner;                                \
                ptrdiff_t y_at = g ? n * q->K : y->start + j * y->outer + i * y->inner;                                \
                dst[n] = N(reduce)(p, g, s, t, numbers, x, y, x_at, y_at, q->K, dst[n]);                               \
            }                                                                                                          \
        break;
    switch (product << 3 | gathered << 2 | x->shared << 1 | (product && y->shared)) {
        CASE(0, 0, 0, 0) CASE(0, 1, 0, 0) CASE(0, 0, 1, 0) CASE(0, 1, 1, 0)
        CASE(1, 0, 0, 0) CASE(1, 1, 0, 0) CASE(1, 0, 1, 0) CASE(1, 1, 1, 0) CASE(1, 0, 1, 1) CASE(1, 1, 1, 1)
    }
#undef CASE
}

/* A tile of a matrix product: z[j, i] += x[j, k] y[i, k] over k. False, with nothing done, if a result is not finite. */
INLINE bool N(tile)(int JT, int IT, bool shared, const Instruction *q, const double *x, const double *y, V *z) {
    ptrdiff_t xj = q->operands[1].outer * (shared ? 1 : LANES), xk = q->operands[1].depth * (shared ? 1 : LANES);
    ptrdiff_t yi = q->operands[2].inner * LANES, yk = q->operands[2].depth * LANES;
    V sums[8][2];
    UNROLL
    for (int j = 0; j < JT; j++)
        UNROLL
        for (int i = 0; i < IT; i++)
            sums[j][i] = z[j * q->dj + i * q->di];
    for (ptrdiff_t k = 0; k < q->K; k++, x += xk, y += yk) {
        V ys[2];
        UNROLL
        for (int i = 0; i < IT; i++)
            ys[i] = *(const V *)(y + i * yi);
        UNROLL
        for (int j = 0; j < JT; j++) {
            V xs = N(load)(x + j * xj, 0, shared);
            UNROLL
            for (int i = 0; i < IT; i++)
                sums[j][i] = FMA(xs, ys[i], sums[j][i]);
        }
    }
    V total = SPLAT(0.0);
    UNROLL
    for (int j = 0; j < JT; j++)
        UNROLL
        for (int i = 0; i < IT; i++)
            total += sums[j][i];
    if (!N(finite)(total))
        return false;
    UNROLL
    for (int j = 0; j < JT; j++)
        UNROLL
        for (int i = 0; i < IT; i++)
            z[j * q->dj + i * q->di] = sums[j][i];
    return true;
}

/* dot where x depends on j and k only, and y, which is in rows, on i and k only; `dst` holds the numbers to start from. */
INLINE void N(tiles)(bool shared, const Instruction *q, const Numbers *numbers, V *dst) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    const double *xs = shared ? numbers->shared + x->start : numbers->rows + x->start * LANES;
    const double *ys = numbers->rows + y->start * LANES;
    for (ptrdiff_t i = 0, wide; i < q->I; i += wide) {
        wide = q->I - i < 2 || q->J < 4 ? 1 : 2;
        for (ptrdiff_t j = 0, high; j < q->J; j += high) {
            const double *xt = xs + j * x->outer * (shared ? 1 : LANES), *yt = ys + i * y->inner * LANES;
            V *z = dst + j * q->dj + i * q->di;
            bool done = false;
            high = q->J - j < 4 ? 1 : wide == 2 || q->J - j < 8 ? 4 : 8;
            if (high == 8)
                done = N(tile)(8, 1, shared, q, xt, yt, z);
            else if (high == 4 && wide == 2)
                done = N(tile)(4, 2, shared, q, xt, yt, z);
            else if (high == 4)
                done = N(tile)(4, 1, shared, q, xt, yt, z);
            for (int a = 0; !done && a < high; a++)
                for (int b = 0; b < wide; b++) {
                    ptrdiff_t x_at = x->start + (j + a) * x->outer, y_at = y->start + (i + b) * y->inner;
                    V *one = z + a * q->dj + b * q->di;
                    *one = N(reduce)(true, false, shared, false, numbers, x, y, x_at, y_at, q->K, *one);
                }
        }
    }
}

ROUTINE void N(matrix_product)(const Instruction *q, const Numbers *numbers, V *dst) {
    if (q->operands[1].shared)
        N(tiles)(true, q, numbers, dst);
    else
        N(tiles)(false, q, numbers, dst);
}

ROUTINE void N(execute)(const Instruction *q, const Numbers *numbers, V *dst) {
    if (q->form == POINTWISE) {
        N(pointwise)(q, numbers, dst);
        return;
    }
    ptrdiff_t step;
    for (ptrdiff_t first = 0; first < q->width; first += CHUNK) {
        int count = (int)(q->width - first < CHUNK ? q->width - first : CHUNK);
        const V *init = N(in_line)(&q->operands[0], numbers, q->init_I, first, count, dst + first, &step);
        if (init != dst + first)
            for (int p = 0; p < count; p++)
                dst[first + p] = init[p * step];
    }
    if (q->form == REDUCTION)
        N(reduction)(q, numbers, dst);
    else
        N(matrix_product)(q, numbers, dst);
}

/* --- Totals -------------------------------------------------------------------------------------------------------- */

/* The block of LANES x LANES numbers with rows and columns exchanged. */
INLINE void N(transpose)(V *block) {
#if LANES == 1
    (void)block;
#else
    UNROLL
    for (int s = 1; s < LANES; s *= 2) {
        M low, high; /* exchange, in 2 x 2 blocks of s x s numbers, the upper right with the lower left */
        UNROLL
        for (int l = 0; l < LANES; l++) {
            low[l] = l & s ? l - s + LANES : l;
            high[l] = l & s ? l + LANES : l + s;
        }
        UNROLL
        for (int i = 0; i < LANES; i++)
            if (!(i & s)) {
                V upper = block[i], lower = block[i + s];
                block[i] = N(shuffle)(upper, lower, low);
                block[i + s] = N(shuffle)(upper, lower, high);
            }
    }
#endif
}

/* sums[j][i] += x[row][j] y[row][i] over `live` rows, for JT of j and IT * LANES of i. */
INLINE void N(outer_tile)(bool fused, int JT, int IT, int live, const double *x, ptrdiff_t xj, const double *y,
                          ptrdiff_t pitch, double *sums) {
    V z[4][2];
    UNROLL
    for (int j = 0; j < JT; j++)
        UNROLL
        for (int i = 0; i < IT; i++)
            z[j][i] = ((const V *)(sums + j * pitch))[i];
    for (int row = 0; row < live; row++) {
        const V *ys = (const V *)(y + row * pitch);
        UNROLL
        for (int j = 0; j < JT; j++) {
            V xs = SPLAT(x[j * xj + row]);
            UNROLL
            for (int i = 0; i < IT; i++)
                z[j][i] = fused ? (V)FMA(xs, ys[i], z[j][i]) : (V)(z[j][i] + xs * ys[i]);
        }
    }
    UNROLL
    for (int j = 0; j < JT; j++)
        UNROLL
        for (int i = 0; i < IT; i++)
            ((V *)(sums + j * pitch))[i] = z[j][i];
}

INLINE void N(outer_products)(bool fused, const Instruction *q, int live, Desk *desk) {
    const Operand *x = &q->operands[1], *y = &q->operands[2];
    double *sums = desk->sums + q->at, *turned = desk->turned;
    ptrdiff_t xj = x->outer * LANES, vectors = q->pitch / LANES;
    for (ptrdiff_t k = 0; k < q->K; k++) {
        const V *ys = (const V *)desk->rows + y->start + k * y->depth;
        for (ptrdiff_t first = 0; first < q->pitch; first += LANES) {
            V block[LANES];
            for (int l = 0; l < LANES; l++)
                block[l] = first + l < q->I ? ys[(first + l) * y->inner] : (V)SPLAT(0.0);
            N(transpose)(block);
            for (int row = 0; row < LANES; row++)
                *(V *)(turned + row * q->pitch + first) = block[row];
        }
        const double *xs = desk->rows + (x->start + k * x->depth) * LANES;
        for (ptrdiff_t i = 0, wide; i < vectors; i += wide) {
            wide = vectors - i < 2 ? 1 : 2;
            for (ptrdiff_t j = 0, high; j < q->J; j += high) {
                high = q->J - j < 4 ? 1 : 4;
                const double *xt = xs + j * xj, *yt = turned + i * LANES;
                double *z = sums + j * q->pitch + i * LANES;
                if (high == 4 && wide == 2)
                    N(outer_tile)(fused, 4, 2, live, xt, xj, yt, q->pitch, z);
                else if (high == 4)
                    N(outer_tile)(fused, 4, 1, live, xt, xj, yt, q->pitch, z);
                else if (wide == 2)
                    N(outer_tile)(fused, 1, 2, live, xt, xj, yt, q->pitch, z);
                else
                    N(outer_tile)(fused, 1, 1, live, xt, xj, yt, q->pitch, z);
            }
        }
    }
}

/* A matrix of sums over the rows, of products of two numbers of a row: lanes run along the matrix, not along the rows, so
   that a sum is one number and not LANES of them. */
ROUTINE void N(outer_product)(const Instruction *q, int live, Desk *desk, bool fused) {
    if (fused)
        N(outer_products)(true, q, live, desk);
    else
        N(outer_products)(false, q, live, desk);
}

/* Any other total: the numbers of the rows, and then their sums lane by lane. */
ROUTINE void N(accumulate)(const Instruction *q, const Numbers *numbers, int live, Desk *desk) {
    V *terms = (V *)desk->terms, *lanes = (V *)desk->lanes + q->lanes_at;
    N(execute)(q, numbers, terms);
    M alive;
    for (int l = 0; l < LANES; l++)
        LANE(alive, l) = l < live ? -1 : 0;
    for (ptrdiff_t p = 0; p < q->width; p++)
        lanes[p] += SELECT(alive, terms[p], SPLAT(0.0));
}

/* --- Blocks -------------------------------------------------------------------------------------------------------- */

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
            for (ptrdiff_t p = 0; p < q->width; p++)
                for (int l = 0; l < LANES; l++)
                    desk->sums[q->at + p] += LANE(((V *)desk->lanes)[q->lanes_at + p], l);
}

/* The results of n rows, and in desk->sums their sums; made again without FMA if one is not finite, see N(finite). */
static TARGET void N(run_rows)(const Program *program, const Numbers *numbers, const double *input, double *output,
                               ptrdiff_t n, Desk *desk) {
    N(run_blocks)(program, numbers, input, output, n, desk, true);
    for (ptrdiff_t s = 0; s < program->sums_size; s++)
        if (program->outer && !isfinite(desk->sums[s])) {
            N(run_blocks)(program, numbers, input, output, n, desk, false);
            return;
        }
}

#if LANES == 1
/* The numbers that all rows share. */
static void run_once(const Program *program, double *shared) {
    Numbers numbers = {shared, NULL};
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
#undef NORMAL
#undef ROUNDER
#undef CHUNK
#undef LANES
#undef TARGET
#undef FMA
#undef SQRT
#undef ANY
#undef ANY_OF
