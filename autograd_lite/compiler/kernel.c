/* The executor in C: runs a program (program.py) with a block of rows side by side in the lanes of SIMD registers.

   It handles numbers and addresses only; a derivative is a list of instructions like any other. In order of appearance:

       the table         the formula of each primitive
       the program       reads and validates what `encode` (executors/kernel.py) writes, and makes the tapes
       the interpreter   kernel_lanes.h, included once for each kind of block
       a call            memory, threads, and the choice of the interpreter
       Python            Program(...) with the methods run_into, loop (kernel_loop.h), follow (kernel_pipeline.h), which
                         puts loops before a program, and call (kernel_call.h)

   Results agree with primitives.py to a few units in the last place, in every lane, and a power x^n with |n| <= 32 to
   about 1.5 |n| units; infinities, nans and the signs of zeros are the same. One exception: the kernel adds the terms
   of a sum in another order, so that a sum whose partial sums overflow may differ. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* KERNEL_PLAIN builds what a compiler without the extensions of GNU C would: tests use it. */
#if defined(__GNUC__) && !defined(KERNEL_PLAIN)
#define HAS_GNU_C
#endif

#if !defined(_WIN32)
#define HAS_THREADS
#include <pthread.h>
#endif
#define MAX_THREADS 256

/* x modulo y with the sign of y, as Python's %. */
static double python_mod(double x, double y) {
    double z = fmod(x, y);
    if (z == 0)
        return copysign(z, y);
    return (y < 0) != (z < 0) ? z + y : z;
}

/* floor(x / y), as Python's //. */
static double python_floordiv(double x, double y) {
    if (y == 0)
        return x / y;
    double rest = fmod(x, y), z = (x - rest) / y;
    if (rest != 0 && (y < 0) != (rest < 0))
        z -= 1;
    return z == 0 ? copysign(0, x / y) : rint(z);
}

/* --- The table ---------------------------------------------------------------------------------------------------- */

/* The formulas of ieee.py with the macros of kernel_lanes.h, and the number of operands: x, x and y, or c, x and y.
   SHORT formulas take hardly longer than the call of a routine. */
#define PRIMITIVES(SHORT, LONG)                                                                                        \
    SHORT(add, 2, x + y)                                                                                               \
    SHORT(sub, 2, x - y)                                                                                               \
    SHORT(mul, 2, x * y)                                                                                               \
    SHORT(div, 2, x / y)                                                                                               \
    LONG(mod, 2, N(mod)(x, y))                                                                                         \
    LONG(floordiv, 2, N(floordiv)(x, y))                                                                               \
    SHORT(neg, 1, -x)                                                                                                  \
    LONG(pow_const, 2, N(pow)(x, y))                                                                                   \
    LONG(pow, 2, N(pow)(x, y))                                                                                         \
    LONG(hypot, 2, N(hypot)(x, y))                                                                                     \
    LONG(exp, 1, N(exp)(x))                                                                                            \
    LONG(log, 1, N(log)(x))                                                                                            \
    LONG(exp2, 1, N(exp2)(x))                                                                                          \
    LONG(log2, 1, N(log2)(x))                                                                                          \
    LONG(log10, 1, N(log10)(x))                                                                                        \
    LONG(log1p, 1, N(log1p)(x))                                                                                        \
    LONG(expm1, 1, N(expm1)(x))                                                                                        \
    LONG(sqrt, 1, SQRT(x))                                                                                             \
    LONG(cbrt, 1, N(cbrt)(x))                                                                                          \
    LONG(sin, 1, N(sin)(x))                                                                                            \
    LONG(cos, 1, N(cos)(x))                                                                                            \
    LONG(tan, 1, N(tan)(x))                                                                                            \
    LONG(asin, 1, N(asin)(x))                                                                                          \
    LONG(acos, 1, N(acos)(x))                                                                                          \
    LONG(atan, 1, N(atan)(x))                                                                                          \
    LONG(atan2, 2, N(atan2)(x, y))                                                                                     \
    LONG(sinh, 1, N(sinh)(x))                                                                                          \
    LONG(cosh, 1, N(cosh)(x))                                                                                          \
    LONG(tanh, 1, N(tanh)(x))                                                                                          \
    LONG(asinh, 1, N(asinh)(x))                                                                                        \
    LONG(acosh, 1, N(acosh)(x))                                                                                        \
    LONG(atanh, 1, N(atanh)(x))                                                                                        \
    LONG(erf, 1, N(erf)(x))                                                                                            \
    LONG(sigmoid, 1, N(sigmoid)(x))                                                                                    \
    LONG(softplus, 1, N(softplus)(x))                                                                                  \
    SHORT(relu, 1, SELECT(x <= 0, SPLAT(0.0), x))                                                                      \
    SHORT(step, 1, SELECT(x <= 0, SPLAT(0.0), SPLAT(1.0)))                                                             \
    SHORT(sign, 1, SELECT(x > 0, SPLAT(1.0), SELECT(x < 0, SPLAT(-1.0), x)))                                           \
    SHORT(abs, 1, N(fabs)(x))                                                                                          \
    LONG(floor, 1, N(floor)(x))                                                                                        \
    LONG(ceil, 1, N(ceil)(x))                                                                                          \
    LONG(round, 1, N(rint)(x))                                                                                         \
    SHORT(maximum, 2, SELECT((x > y) | (x != x), x, y))                                                                \
    SHORT(minimum, 2, SELECT((x < y) | (x != x), x, y))                                                                \
    SHORT(share, 2, SELECT(x == y, SPLAT(0.5), SELECT(x < y, SPLAT(0.0), SPLAT(1.0))))                                 \
    SHORT(where, 3, SELECT(c != 0, x, y))                                                                              \
    SHORT(detach, 1, x)                                                                                                \
    SHORT(muladd, 3, c + x * y) /* a dot of one product */

/* The primitives that reduce, with their numbers of operands; kernel_lanes.h implements them. */
#define REDUCTIONS(ROW) ROW(sum, 2) ROW(dot, 3)

/* The other codes of a tape: see write_tape. The sum and the dot of K terms have a code for each K up to NARROW. */
enum { NARROW = 8 };
#define SUMS(ROW) ROW(2) ROW(3) ROW(4) ROW(5) ROW(6) ROW(7) ROW(8)
#define CONTROLS(ROW)                                                                                                  \
    ROW(wide)    /* n, count: run instruction n, which makes `count` numbers */                                        \
    ROW(sin_cos) /* x: its sine and cosine, in place of two steps */                                                   \
    ROW(cos_sin) /* x: the cosine first */                                                                             \
    ROW(unless)  /* x, words, count: if x is 0, skip the next `words` words, which make `count` numbers */             \
    ROW(until)   /* x, words, count: the same if x is not 0 */                                                         \
    ROW(end)

#define OPCODE(name, ...) OP_##name,
#define OPCODES_OF_K(K) OP_sum##K, OP_dot##K,
typedef enum {
    PRIMITIVES(OPCODE, OPCODE) REDUCTIONS(OPCODE) OPCODES,
    LAST_OPCODE = OPCODES - 1,
    SUMS(OPCODES_OF_K) CONTROLS(OPCODE)
} Opcode;
#undef OPCODE
#undef OPCODES_OF_K

#define ARITY(name, arity, ...) arity,
static const int ARITIES[] = {PRIMITIVES(ARITY, ARITY) REDUCTIONS(ARITY)};
#undef ARITY

static bool reduces(Opcode opcode) {
    return opcode == OP_sum || opcode == OP_dot;
}

/* --- The program -------------------------------------------------------------------------------------------------- */

/* Where an instruction reads at (j, i, k), as an index into the shared numbers or into the numbers of a row: the entry
   of `table` at that point, or start + j * outer + i * inner + k * depth. `flat` says that this sum equals
   start + (j * I + i) * step + k * depth. */
typedef struct {
    const int32_t *table;
    bool shared, flat;
    ptrdiff_t start, outer, inner, depth, step;
} Operand;

/* How an instruction runs. `encode` chooses the form, `has_its_form` checks it. */
typedef enum {
    POINTWISE,      /* each result is computed from one number of each operand */
    REDUCTION,      /* sum, or a dot whose x and y are both listed or both strided */
    MATRIX_PRODUCT, /* a dot whose x depends on j and k only, and whose y depends on i and k only and is in rows */
    OUTER           /* a total of products of such an x and y that starts from 0; x is in rows, too */
} Form;

/* An instruction writes at dst + j * dj + i * di, where dst counts from the first shared number, the first number of a
   row, or the first total. MATRIX_PRODUCT and OUTER have x and y in operands 1 and 2, and may be transposed: then J and
   I are exchanged in comparison with the program, and so are dj and di. `init_I` is the program's I, which operand 0
   keeps. */
typedef struct {
    Opcode opcode;
    Form form;
    int arity;
    ptrdiff_t dst, J, I, K, width, dj, di, init_I;
    ptrdiff_t at, pitch; /* total: where its sums begin in Workspace.sums; OUTER: the distance from line j to j + 1 */
    ptrdiff_t lanes_at;  /* total, except OUTER: where its sums of each lane begin in Workspace.lanes */
    ptrdiff_t step;      /* where its steps begin in its tape */
    Operand operands[3];
} Instruction;

/* The instructions from `begin` to `end` - 1 may be skipped where the number at `condition` is 0, if `taken`, else
   where it is not 0. */
typedef struct {
    ptrdiff_t begin, end, condition;
    bool taken;
    ptrdiff_t step; /* where its jump is in its tape */
} Guard;

/* Numbers with consecutive addresses. */
typedef struct {
    ptrdiff_t first, count;
} Run;

typedef struct {
    ptrdiff_t constants, captured, inputs, once, each, total; /* counts, as in the layout of an encoding */
    ptrdiff_t shared, rows, size;                             /* where the regions end, as in program.py */
    Instruction *instructions;
    int32_t *once_tape, *each_tape; /* see write_tape; parts of one allocation */
    int32_t *broadcasts;            /* the addresses of the shared numbers that steps of each_tape read */
    Guard *guards;                  /* in the order of `begin`; one that begins nowhere marks the end */
    int32_t *tables;                /* the addresses of listed operands */
    double *numbers;                /* the constants */
    int32_t *results;               /* addresses */
    Run *copies;                    /* `results` as runs, none of them with shared and other numbers */
    Run *sums;                      /* where they lie in Workspace.sums */
    ptrdiff_t results_count, copies_count, sums_count, runs_count, broadcasts_count, listed;
    ptrdiff_t terms_size, starts_size, lanes_size, sums_size; /* sizes of the parts of a Workspace */
    ptrdiff_t pitch;                                          /* the largest Instruction.pitch */
    bool outer;                                               /* whether a total has the form OUTER */
    int threads, kind; /* the largest number of threads, and the largest of KINDS to use */
} Program;

/* A buffer of a call: rows of `width` numbers each. */
typedef struct {
    double *numbers;
    ptrdiff_t width;
} Table;

/* The rows of a call: buffers side by side, each with some columns. */
typedef struct {
    Table *tables;
    ptrdiff_t count;
} Tables;

enum { CHUNK = 32 };  /* how many numbers of an operand are copied into a contiguous line at a time */
enum { NEAR = 3072 }; /* how many numbers fit into the first-level cache beside other data */
enum { FEW_TERMS = 16 }; /* with up to this many terms per instruction on average, fetching instructions costs most */

/* The memory of one thread. */
typedef struct {
    double *shared;          /* the numbers that all rows share, in the memory of the call */
    double *rows;            /* the numbers of the rows of a block; before them the broadcasts, the last one first */
    double *lines;           /* contiguous copies of CHUNK numbers of each operand */
    double *starts;          /* contiguous copies of operand 0 of sums and dots */
    double *terms;           /* the terms of a total in each row of a block */
    double *lanes;           /* totals so far, one number for each lane; added to `sums` at the end */
    double *sums;            /* totals so far, one number each */
    double *transposed;      /* y of an OUTER, a contiguous line for each row: NEAR numbers, or one k if that is more */
    const struct Kind *kind; /* the largest in use; its routines along a matrix serve blocks of one row as well */
} Workspace;

/* --- Loading ------------------------------------------------------------------------------------------------------ */

static bool malformed(const char *what, ptrdiff_t n) {
    PyErr_Format(PyExc_ValueError, "malformed program: %s %zd", what, (Py_ssize_t)n);
    return false;
}

/* Allocate `count` items of `size` bytes, zeroed; NULL and a MemoryError if that fails. */
static void *allocate(int64_t count, size_t size) {
    void *memory = count < PY_SSIZE_T_MAX / 2 / (int64_t)size ? PyMem_Calloc((size_t)count + !count, size) : NULL;
    if (!memory)
        PyErr_NoMemory();
    return memory;
}

/* The buffers of an encoding: see Encoded in executors/kernel.py. */
typedef struct {
    const int32_t *layout, *code, *tables, *results, *sums;
    const double *constants;
    ptrdiff_t layout_count, code_count, tables_count, results_count, sums_count, constants_count;
} Encoding;

/* Lengths of `layout` without guards, of a guard in it, and of an instruction in `code`. */
enum { LAYOUT = 9, GUARD = 4, RECORD = 21 };

/* Set `x` to the operand that `record` describes, read at `points` = {J, I, K}, all of its addresses below `defined`.
   False and an exception if that is not possible. */
static bool resolve(Program *program, const Encoding *encoding, const int32_t *record, const int64_t *points,
                    int64_t defined, ptrdiff_t n, Operand *x) {
    int64_t low, high, count = points[0] * points[1] * points[2];
    int32_t *table = program->tables + program->listed;
    const bool listed = record[0] != -1;
    if (listed) {
        if (record[0] != program->listed || record[1] || record[2] || record[3] || record[4] ||
            count > encoding->tables_count - program->listed)
            return malformed("an operand that is not the next in the tables, in instruction", n);
        program->listed += (ptrdiff_t)count;
        low = high = table[0];
        for (int64_t p = 1; p < count; p++) {
            low = table[p] < low ? table[p] : low;
            high = table[p] > high ? table[p] : high;
        }
    } else {
        low = high = record[1];
        for (int axis = 0; axis < 3; axis++) {
            int64_t reach = record[2 + axis] * (points[axis] - 1);
            low += reach < 0 ? reach : 0;
            high += reach > 0 ? reach : 0;
        }
    }
    if (low < 0 || high >= defined)
        return malformed("an operand that is not there yet, in instruction", n);
    if (low < program->shared && high >= program->shared)
        return malformed("an operand on both sides of the first input, in instruction", n);
    x->shared = high < program->shared;
    const int32_t base = x->shared ? 0 : (int32_t)program->shared;
    if (listed) {
        for (int64_t p = 0; p < count; p++)
            table[p] -= base;
        x->table = table;
        return true;
    }
    x->start = record[1] - base;
    x->outer = points[0] > 1 ? record[2] : 0;
    x->inner = points[1] > 1 ? record[3] : 0;
    x->depth = points[2] > 1 ? record[4] : 0;
    x->step = points[1] > 1 ? x->inner : x->outer;
    x->flat = points[0] == 1 || points[1] == 1 || x->outer == x->inner * points[1];
    return true;
}

static ptrdiff_t in_eights(ptrdiff_t n) {
    return (n + 7) / 8 * 8;
}

/* Whether the operands of `q` satisfy the conditions of its form: see Form. */
static bool has_its_form(const Instruction *q, bool total) {
    const Operand *x = q->operands + 1, *y = q->operands + 2;
    const bool product = q->opcode == OP_dot && !x->table && !y->table && !x->inner && !y->outer && !y->shared;
    switch (q->form) {
    case POINTWISE:
        return !reduces(q->opcode);
    case REDUCTION:
        return q->opcode == OP_sum || (q->opcode == OP_dot && !x->table == !y->table && (x->shared || !y->shared));
    case MATRIX_PRODUCT:
        return product;
    default:
        return product && total && !x->shared;
    }
}

/* Assign the sums of a total the next place in a Workspace. */
static void place_total(Program *program, Instruction *q) {
    q->at = program->sums_size;
    if (q->form == OUTER) {
        q->pitch = in_eights(q->I);
        program->outer = true;
        program->sums_size += q->J * q->pitch;
        program->pitch = q->pitch > program->pitch ? q->pitch : program->pitch;
    } else {
        q->lanes_at = program->lanes_size;
        program->lanes_size += in_eights(q->width);
        program->sums_size += in_eights(q->width);
        program->terms_size = q->width > program->terms_size ? q->width : program->terms_size;
    }
}

/* Read and validate instruction `n`, which writes at `*next` and the addresses that follow, and move `*next` behind. */
static bool read_instruction(Program *program, const Encoding *encoding, ptrdiff_t n, int64_t *next) {
    const int32_t *record = encoding->code + n * RECORD;
    Instruction *q = program->instructions + n;
    const bool once = n < program->once, total = n >= program->once + program->each;
    if (record[0] < 0 || record[0] >= OPCODES)
        return malformed("an unknown opcode, in instruction", n);
    if (record[1] < POINTWISE || record[1] > OUTER || (record[2] && (record[2] != 1 || record[1] < MATRIX_PRODUCT)))
        return malformed("an unknown form, in instruction", n);
    q->opcode = (Opcode)record[0];
    q->form = (Form)record[1];
    q->arity = ARITIES[q->opcode];
    q->J = record[3], q->I = record[4], q->K = record[5];
    q->dj = record[2] ? 1 : q->I, q->di = record[2] ? q->J : 1;
    q->init_I = record[2] ? q->J : q->I;
    const int64_t width = (int64_t)record[3] * record[4];
    q->width = (ptrdiff_t)width;
    q->dst = (ptrdiff_t)(*next - (once ? 0 : total ? program->rows : program->shared));
    const bool reducing = reduces(q->opcode);
    if (q->J < 1 || q->I < 1 || width > program->size - *next || q->K < 1 || (q->K > 1 && !reducing))
        return malformed("the loop nest of instruction", n);
    for (int a = 0; a < 3; a++) {
        const int32_t *described = record + 6 + 5 * a;
        const int64_t points[3] = {q->J, q->I, reducing ? q->K : 1}, starts[3] = {q->width / q->init_I, q->init_I, 1};
        if (q->form == OUTER ? a > 0 : a < q->arity) {
            if (!resolve(program, encoding, described, reducing && a == 0 ? starts : points,
                         total ? program->rows : *next, n, q->operands + a))
                return false;
        } else if (described[0] != -1 || described[1] || described[2] || described[3] || described[4]) {
            return malformed("too many operands of instruction", n);
        }
    }
    if (!has_its_form(q, total))
        return malformed("operands that its form does not allow, in instruction", n);
    if (reducing && q->width > program->starts_size)
        program->starts_size = q->width;
    if (total)
        place_total(program, q);
    *next += q->width;
    return true;
}

/* Where a step finds the number at `address`: see write_tape. */
static int32_t place_of(Program *program, ptrdiff_t address, int32_t *places) {
    if (places && address >= program->shared)
        return (int32_t)(address - program->shared);
    if (places && !places[address]) {
        program->broadcasts[program->broadcasts_count++] = (int32_t)address;
        places[address] = (int32_t)-program->broadcasts_count;
    }
    return places ? places[address] : (int32_t)address;
}

/* The address that operand `a` of `q` reads at k for the nth number that `q` writes. */
static ptrdiff_t address_at(const Program *program, const Instruction *q, int a, ptrdiff_t n, ptrdiff_t k) {
    const Operand *x = q->operands + a;
    const bool init = reduces(q->opcode) && a == 0;
    const ptrdiff_t base = x->shared ? 0 : program->shared;
    if (x->table)
        return base + x->table[n * (init ? 1 : q->K) + k];
    ptrdiff_t j = n / q->init_I, i = n % q->init_I;
    if (!init && (q->J == 1 || q->di != 1)) /* a single line, or transposed */
        j = n % q->J, i = n / q->J;
    return base + x->start + j * x->outer + i * x->inner + k * x->depth;
}

/* Write the steps of a narrow instruction, and return where they end. */
static int32_t *write_narrow(Program *program, const Instruction *q, int32_t *places, int32_t *step) {
    const bool one = q->K == 1;
    int code = q->opcode;
    if (code == OP_sum)
        code = one ? OP_add : OP_sum2 + 2 * ((int)q->K - 2);
    else if (code == OP_dot)
        code = one ? OP_muladd : OP_dot2 + 2 * ((int)q->K - 2);
    for (ptrdiff_t n = 0; n < q->width; n++) {
        *step++ = code;
        for (ptrdiff_t k = 0; k < q->K; k++)
            for (int a = k > 0; a < q->arity; a++)
                *step++ = place_of(program, address_at(program, q, a, n, k), places);
    }
    return step;
}

/* Write the tape of instructions `first` to `last` - 1 to `tape`, and return where it ends. A step is a code and its
   words; it writes its number, or numbers, after those of the step before. Addresses count from the first shared
   number, or with `places` from the first number of a row, where broadcasts have negative addresses: places[s] is that
   of the shared number s, or 0. An instruction of at most NARROW terms is a step for each number that it writes. */
static int32_t *write_tape(Program *program, ptrdiff_t first, ptrdiff_t last, int32_t *places, int32_t *tape) {
    Guard *guards = program->guards, *guard;
    while (guards->begin < first)
        guards++;
    guard = guards;
    int32_t *step = tape, *before = NULL; /* the step before, if it is a sine or cosine */
    for (ptrdiff_t n = first; n < last; n++) {
        Instruction *q = program->instructions + n;
        q->step = step - tape;
        for (; guard->begin == n; guard++, step += 4, before = NULL)
            guard->step = step - tape;
        int32_t *here = step;
        if (q->width * q->K > NARROW)
            *step++ = OP_wide, *step++ = (int32_t)n, *step++ = (int32_t)q->width;
        else
            step = write_narrow(program, q, places, step);
        const bool turn = (q->opcode == OP_sin || q->opcode == OP_cos) && q->width == 1;
        if (turn && before && *before != *here && before[1] == here[1]) { /* both take hardly longer than one */
            *before = *before == OP_sin ? OP_sin_cos : OP_cos_sin;
            here = NULL;
        }
        before = turn ? here : NULL;
    }
    *step = OP_end;
    program->instructions[last].step = step - tape;
    for (; guards < guard; guards++) {
        const Instruction *from = program->instructions + guards->begin, *to = program->instructions + guards->end;
        const ptrdiff_t after = guards->step + 4, count = to[-1].dst + to[-1].width - from->dst;
        tape[after - 4] = guards->taken ? OP_unless : OP_until;
        tape[after - 3] = place_of(program, guards->condition, places);
        tape[after - 2] = (int32_t)(to->step - after), tape[after - 1] = (int32_t)count;
    }
    return step + 1;
}

/* Write the tapes; false and a MemoryError if there is no memory. */
static bool make_tapes(Program *program) {
    const ptrdiff_t once = program->once, each = once + program->each;
    int64_t words = 2;
    for (const Instruction *q = program->instructions; q < program->instructions + each; q++)
        words += q->width * q->K > NARROW ? 3 : 4 * q->width * q->K;
    for (const Guard *guard = program->guards; guard->begin < each; guard++)
        words += 4;
    int32_t *places = allocate(program->shared, sizeof(int32_t));
    program->broadcasts = allocate(program->shared, sizeof(int32_t));
    program->once_tape = allocate(words, sizeof(int32_t));
    if (places && program->broadcasts && program->once_tape) {
        program->each_tape = write_tape(program, 0, once, NULL, program->once_tape);
        write_tape(program, once, each, places, program->each_tape);
    }
    PyMem_Free(places);
    return program->each_tape != NULL;
}

/* Read and validate the guards, when all instructions have been read. */
static bool read_guards(Program *program, const Encoding *encoding) {
    const ptrdiff_t count = (encoding->layout_count - LAYOUT) / GUARD, once = program->once;
    Guard *guard = program->guards = allocate(count + 1, sizeof(Guard));
    if (!guard)
        return false;
    const int32_t *record = encoding->layout + LAYOUT;
    for (ptrdiff_t before = 0; guard < program->guards + count; before = guard++->begin, record += GUARD) {
        *guard = (Guard){record[0], record[1], record[2], record[3] != 0, 0};
        const bool ordered = before <= guard->begin && guard->begin < guard->end &&
                             guard->end <= (guard->begin < once ? once : once + program->each);
        if (!ordered || record[3] != guard->taken)
            return malformed("the guard of instruction", guard->begin);
        const ptrdiff_t defined = program->instructions[guard->begin].dst + (guard->begin < once ? 0 : program->shared);
        if (guard->condition < 0 || guard->condition >= defined)
            return malformed("a condition that is not there yet, of the guard of instruction", guard->begin);
    }
    guard->begin = PTRDIFF_MAX;
    return true;
}

/* Read the encoding into `program`; false, and a ValueError or MemoryError, if that is not possible. */
static bool read_program(Program *program, const Encoding *encoding) {
    const int32_t *layout = encoding->layout;
    if (encoding->layout_count < LAYOUT || (encoding->layout_count - LAYOUT) % GUARD)
        return malformed("the length of the layout,", encoding->layout_count);
    for (int n = 0; n < LAYOUT; n++)
        if (layout[n] < 0)
            return malformed("a negative number in the layout,", layout[n]);
    const int64_t instructions = (int64_t)layout[3] + layout[4] + layout[5], first = (int64_t)layout[0] + layout[1];
    if (layout[0] != encoding->constants_count)
        return malformed("the number of constants,", encoding->constants_count);
    if (encoding->code_count % RECORD || encoding->code_count / RECORD != instructions)
        return malformed("the length of the code,", encoding->code_count);
    program->constants = layout[0], program->captured = layout[1], program->inputs = layout[2];
    program->once = layout[3], program->each = layout[4], program->total = layout[5];
    program->shared = layout[6], program->rows = layout[7], program->size = layout[8];
    program->instructions = allocate(instructions + 1, sizeof(Instruction));
    program->tables = allocate(encoding->tables_count, sizeof(int32_t));
    program->numbers = allocate(layout[0], sizeof(double));
    if (!program->instructions || !program->tables || !program->numbers)
        return false;
    memcpy(program->numbers, encoding->constants, layout[0] * sizeof(double));
    memcpy(program->tables, encoding->tables, encoding->tables_count * sizeof(int32_t));

    int64_t next = first;
    ptrdiff_t n = 0;
    for (; n <= instructions; n++) {
        if (n == program->once && next != program->shared)
            return malformed("the number of shared numbers,", program->shared);
        next += n == program->once ? program->inputs : 0;
        if (n == program->once + program->each && next != program->rows)
            return malformed("the address of the first total,", program->rows);
        if (n < instructions && !read_instruction(program, encoding, n, &next))
            return false;
    }
    if (next != program->size)
        return malformed("the size,", program->size);

    program->results_count = encoding->results_count, program->runs_count = encoding->sums_count / 2;
    program->results = allocate(program->results_count, sizeof(int32_t));
    program->copies = allocate(program->results_count, sizeof(Run));
    program->sums = allocate(program->runs_count, sizeof(Run));
    if (!program->results || !program->copies || !program->sums)
        return false;
    Run *copy = program->copies;
    for (n = 0; n < program->results_count; n++) {
        program->results[n] = encoding->results[n];
        if (program->results[n] < 0 || program->results[n] >= program->rows)
            return malformed("an address out of range, that of result", n);
        const ptrdiff_t address = program->results[n];
        if (n && address == copy[-1].first + copy[-1].count && address != program->shared)
            copy[-1].count++;
        else
            *copy++ = (Run){address, 1};
    }
    program->copies_count = copy - program->copies;
    if (encoding->sums_count % 2)
        return malformed("the length of the sums,", encoding->sums_count);
    for (n = 0; n < program->runs_count; n++) {
        const int64_t begin = encoding->sums[2 * n], count = encoding->sums[2 * n + 1];
        if (begin < 0 || count < 1 || begin + count > program->sums_size)
            return malformed("a place out of range, that of run", n);
        program->sums[n] = (Run){(ptrdiff_t)begin, (ptrdiff_t)count};
        program->sums_count += (ptrdiff_t)count;
    }
    return read_guards(program, encoding) && make_tapes(program);
}

/* --- The interpreter, for each kind of block ----------------------------------------------------------------- */

#define PASTE_(name, kind) name##_##kind
#define PASTE(name, kind) PASTE_(name, kind)
#define ROUTINE static TARGET
#ifdef HAS_GNU_C
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL_16 _Pragma("GCC unroll 16")
#define ONCE _Pragma("GCC unroll 1")
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define NOINLINE
#define INLINE static inline
#define UNROLL
#define UNROLL_16
#define ONCE
#define PREFETCH(address) (void)(address)
#endif

/* The numbers of an operand at successive points, `step` numbers apart. */
typedef struct {
    const double *first;
    ptrdiff_t step;
} Line;

/* The routine of a primitive: from `points` times `wide` registers of each operand to those of z, where points are
   `step` numbers apart. */
typedef void (*Function)(const Line *lines, ptrdiff_t points, ptrdiff_t wide, double *z, ptrdiff_t step);

/* A kind of block: how many rows and lanes, and the routines that kernel_lanes.h defines for it. */
typedef struct Kind {
    const char *name;
    int rows, lanes;
    const Function *functions;
    bool (*run_rows)(const Program *, const Workspace *, Tables, Tables, ptrdiff_t, ptrdiff_t, bool);
    bool (*reduction_of_one)(const Instruction *, const Workspace *, const double *, ptrdiff_t, double *);
    void (*outer_product)(const Instruction *, int, int, const Workspace *, bool);
} Kind;

/* The number at `address`, after a program has run on one row. */
static const double *number_at(const Program *program, const Workspace *workspace, ptrdiff_t address) {
    return address < program->shared ? workspace->shared + address : workspace->rows + (address - program->shared);
}

#define KIND plain
#define WIDE 1
#include "kernel_plain.h"

/* Run the `once` instructions, which compute numbers that all rows share. */
static void run_once(const Program *program, const Workspace *workspace) {
    double *shared = workspace->shared;
    run_tape_plain(program, workspace, program->once_tape, shared, shared + program->constants + program->captured);
}

/* The other kinds need a compiler with vector types, and a machine that evaluates doubles in double precision. */
#if defined(HAS_GNU_C) && FLT_EVAL_METHOD == 0
#define HAS_VECTORS
#pragma GCC diagnostic ignored "-Wpsabi" /* about vectors as arguments: every such function is inlined */
#ifdef __clang__
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (M){__VA_ARGS__})
#endif

/* log(2) in two parts, where the product of the first and an integer is exact; and the bits of sqrt(1/2). */
#define LOG2_E 1.4426950408889634
#define LOG_2_HIGH 6.93147180369123816490e-01
#define LOG_2_LOW 1.90821492927058770002e-10
#define SQRT_HALF 0x3FE6A09E667F3BCD

/* (expm1(x) - x) / x^2 for |x| <= log(2) / 2; and (2 atanh(s) / s - 2) / s^2, in powers of s^2, for |s| up to
   (sqrt(2) - 1) / (sqrt(2) + 1). Interpolated at the Chebyshev points: expm1 to 4e-17, and atanh to 5e-18. */
static const double EXPM1[] = {0.5000000000000001,     0.16666666666666669,    0.041666666666623824,
                               0.008333333333330039,   0.0013888888917367081,  0.00019841269863171557,
                               2.4801521057868204e-05, 2.7557268276905696e-06, 2.7620201591031547e-07,
                               2.5100472505694996e-08};
static const double ATANH[] = {0.666666666666667,  0.3999999999989889,  0.28571428626253836, 0.22222211089379496,
                               0.1818289243253687, 0.15331611722055008, 0.14617807153417325};

/* (sin(x) - x) / x^3 and (cos(x) - 1 + x^2 / 2) / x^4 for |x| <= pi / 4, in powers of x^2, interpolated at the
   Chebyshev points to 1e-17. pi / 2 in parts of 33, 33 and 53 bits: up to FAR no double is so near to a multiple of
   pi / 2 that they do not suffice (Cody and Waite, Software Manual for the Elementary Functions, 1980). */
static const double SINE[] = {-0.16666666666666666,   0.008333333333333331,  -0.0001984126984126506,
                              2.7557319219335453e-06, -2.5052106231157904e-08, 1.605853141458901e-10,
                              -7.586685070091267e-13};
static const double COSINE[] = {0.041666666666666664,    -0.0013888888888887395, 2.4801587298763433e-05,
                                -2.7557317270560326e-07, 2.0876146024689747e-09, -1.1382614868556325e-11};
static const double HALF_PI[] = {0x1.921fb544p+0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69};
#define TWO_BY_PI 0x1.45f306dc9c883p-1
#define FAR 16384.0

/* erf and its derivative at n / 128, from 0 to 6. */
static struct {
    double value, slope;
} ERF[6 * 128 + 1];

/* Fill ERF with what the C library gives. */
static void fill_erf(void) {
    for (int n = 0; n <= 6 * 128; n++) {
        const double x = n / 128.0;
        ERF[n].value = erf(x);
        ERF[n].slope = 1.1283791670955126 * exp(-x * x); /* 2 / sqrt(pi) */
    }
}

#define KIND vectors
#define WIDE 2
#include "kernel_vectors.h"

#ifdef __x86_64__
#define HAS_AVX
#include <immintrin.h>

#define KIND avx2
#define WIDE 1
#include "kernel_avx2.h"
#define KIND avx2x2
#define WIDE 2
#include "kernel_avx2.h"
#define KIND avx2x8
#define WIDE 8
#include "kernel_avx2.h"
#define KIND avx2x32
#define WIDE 32
#include "kernel_avx2.h"

#define KIND avx512
#define WIDE 1
#include "kernel_avx512.h"
#define KIND avx512x2
#define WIDE 2
#include "kernel_avx512.h"
#define KIND avx512x8
#define WIDE 8
#include "kernel_avx512.h"
#endif
#endif

#define BLOCK(kind, rows, lanes)                                                                                       \
    {#kind, rows, lanes, FUNCTIONS_##kind, run_rows_##kind, reduction_of_one_##kind, outer_product_##kind}

/* The kinds of block, each faster than those of the same number of rows before it. */
static const Kind KINDS[] = {
    BLOCK(plain, 1, 1),
#ifdef HAS_VECTORS
    BLOCK(vectors, 4, 2),
#endif
#ifdef HAS_AVX
    BLOCK(avx2, 4, 4),   BLOCK(avx2x2, 8, 4),    BLOCK(avx2x8, 32, 4),   BLOCK(avx2x32, 128, 4),
    BLOCK(avx512, 8, 8), BLOCK(avx512x2, 16, 8), BLOCK(avx512x8, 64, 8),
#endif
};

/* How many of KINDS, from the first on, this machine can run. */
static int count_kinds(void) {
#ifdef HAS_AVX
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return 6;
#endif
    return sizeof(KINDS) / sizeof(*KINDS);
}

/* The largest kind to use for `program`: the largest whose numbers stay in the first cache. Blocks of up to 16 rows
   need not stay there; nor do blocks of up to 64 rows if the instructions are so short that a block of few rows would
   take longer to fetch them than to compute. */
static int best_kind(const Program *program) {
    int kind = count_kinds() - 1;
    ptrdiff_t terms = 0;
    for (ptrdiff_t n = program->once; n < program->once + program->each; n++)
        terms += program->instructions[n].width * program->instructions[n].K;
    const int always = terms > program->each * FEW_TERMS ? 16 : 64; /* rows that may leave the cache */
    while (KINDS[kind].rows > always && (program->rows - program->shared) * KINDS[kind].rows > NEAR)
        kind--;
    return kind;
}

/* --- A call ------------------------------------------------------------------------------------------------------- */

/* The memory of one call: the shared numbers, and a Workspace for each thread. A program keeps the pools of finished
   calls in a list, for the calls to come. */
typedef struct WorkspacePool {
    struct WorkspacePool *next;
    void *memory;
    double *shared;
    Workspace workspaces[];
} WorkspacePool;

static void free_pool(WorkspacePool *pool) {
    free(pool->memory);
    PyMem_Free(pool);
}

/* Take `size` doubles of the memory at *top, and move *top to the next cache line after them. */
static double *part(double **top, int64_t size) {
    double *begin = *top;
    *top += (size + 7) / 8 * 8;
    return begin;
}

/* A new pool for the program that holds its constants; NULL and a MemoryError if there is no memory. */
static WorkspacePool *make_pool(const Program *program) {
    const int64_t rows = KINDS[program->kind].rows, line = program->pitch * rows;
    const int64_t broadcasts = in_eights(program->broadcasts_count * rows);
    const int64_t sizes[7] = {broadcasts + (program->rows - program->shared) * rows,
                              3 * CHUNK * rows,
                              program->starts_size * rows,
                              program->terms_size * rows,
                              program->lanes_size * rows,
                              program->sums_size,
                              line && line < NEAR ? NEAR : line};
    int64_t workspace = 0;
    for (int n = 0; n < 7; n++)
        workspace += sizes[n] + 8;
    const int64_t doubles = 8 + program->shared + 8 + program->threads * workspace;
    WorkspacePool *pool = PyMem_Calloc(1, sizeof(WorkspacePool) + program->threads * sizeof(Workspace));
    void *memory = doubles < PY_SSIZE_T_MAX / 8 ? malloc((size_t)doubles * sizeof(double)) : NULL;
    if (!pool || !memory) {
        PyMem_Free(pool);
        free(memory);
        PyErr_NoMemory();
        return NULL;
    }
    double *top = (double *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    pool->memory = memory;
    pool->shared = part(&top, program->shared);
    memcpy(pool->shared, program->numbers, program->constants * sizeof(double));
    for (Workspace *own = pool->workspaces, *end = own + program->threads; own < end; own++) {
        double **parts[7] = {&own->rows, &own->lines, &own->starts, &own->terms, &own->lanes, &own->sums,
                             &own->transposed};
        for (int n = 0; n < 7; n++)
            *parts[n] = part(&top, sizes[n]);
        own->rows += broadcasts;
        own->shared = pool->shared;
        own->kind = KINDS + program->kind;
    }
    return pool;
}

/* What one thread does: run the rows from `first` to `last - 1` in a workspace. */
typedef struct {
    const Program *program;
    const Workspace *workspace;
    Tables inputs, outputs;
    ptrdiff_t first, last;
} Job;

/* The kind of block for the first of n rows: from the program's kind on, a smaller one while n rows fill at most half
   of the block; `plain` for one row. */
static int next_kind(const Program *program, ptrdiff_t n) {
    int kind = program->kind;
    for (int k = kind; k > 0; k--)
        if (KINDS[k].rows < KINDS[kind].rows && n <= KINDS[kind].rows / 2)
            kind = k;
    return n == 1 ? 0 : kind;
}

/* Run a job. False if a total may be wrong because the run was `fused`: then the job must run again, unfused. */
static bool do_job(const Job *job, bool fused) {
    const Program *program = job->program;
    bool right = true;
    memset(job->workspace->sums, 0, program->sums_size * sizeof(double));
    for (ptrdiff_t row = job->first, n; right && row < job->last; row += n) {
        int kind = next_kind(program, job->last - row), rows = KINDS[kind].rows;
        n = job->last - row < rows ? job->last - row : (job->last - row) / rows * rows;
        right = KINDS[kind].run_rows(program, job->workspace, job->inputs, job->outputs, row, row + n, fused);
    }
    return right;
}

static void *work(void *job) {
    if (!do_job(job, true))
        do_job(job, false);
    return NULL;
}

/* Run the first job in this thread, and each other one in a thread of its own, or in this one if no thread can be
   created. */
static void in_parallel(Job *jobs, int count) {
#ifdef HAS_THREADS
    pthread_t threads[MAX_THREADS];
    bool started[MAX_THREADS];
    for (int t = 1; t < count; t++)
        started[t] = !pthread_create(threads + t, NULL, work, jobs + t);
    work(jobs);
    for (int t = 1; t < count; t++)
        if (started[t])
            pthread_join(threads[t], NULL);
        else
            work(jobs + t);
#else
    for (int t = 0; t < count; t++)
        work(jobs + t);
#endif
}

/* Run the program on n > 0 rows, in at most program->threads threads. Calls no function of Python. */
static void run(const Program *program, WorkspacePool *pool, ptrdiff_t n, Tables inputs, const double *captured,
                Tables outputs, double *sums) {
    memcpy(pool->shared + program->constants, captured, program->captured * sizeof(double));
    run_once(program, pool->workspaces);
    const ptrdiff_t rows = KINDS[program->kind].rows, blocks = (n + rows - 1) / rows;
    const int threads = blocks < program->threads ? (int)blocks : program->threads;
    Job jobs[MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        const ptrdiff_t first = blocks * t / threads * rows, last = blocks * (t + 1) / threads * rows;
        jobs[t] = (Job){program, pool->workspaces + t, inputs, outputs, first, last < n ? last : n};
    }
    in_parallel(jobs, threads);
    for (const Run *piece = program->sums, *end = piece + program->runs_count; piece < end; piece++) {
        memcpy(sums, pool->workspaces[0].sums + piece->first, piece->count * sizeof(double));
        for (int t = 1; t < threads; t++)
            for (ptrdiff_t s = 0; s < piece->count; s++)
                sums[s] += pool->workspaces[t].sums[piece->first + s];
        sums += piece->count;
    }
}

/* --- Python ------------------------------------------------------------------------------------------------------- */

/* A Program in Python. */
typedef struct {
    PyObject_HEAD Program program;
    WorkspacePool *idle; /* pools that no call is using; concurrent calls use one each */
    struct Pipeline *pipeline; /* what `call` runs first, or NULL */
} PyProgram;

static void free_pipeline(struct Pipeline *pipeline);

/* A pool for one call; NULL and a MemoryError if there is no memory. The call gives it back. */
static WorkspacePool *take_pool(PyProgram *self) {
    WorkspacePool *pool = self->idle;
    if (!pool)
        return make_pool(&self->program);
    self->idle = pool->next;
    return pool;
}

static void give_back(PyProgram *self, WorkspacePool *pool) {
    pool->next = self->idle;
    self->idle = pool;
}

enum { INTS = 'i', FLOATS = 'd' };

/* Get the contiguous buffer of int32 or float64 of an object; false and an exception about `name` if it has none. */
static bool get_buffer(PyObject *object, const char *name, char format, bool writable, Py_buffer *view) {
    int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) < 0)
        return false;
    const char *given = view->format ? view->format : "B";
    given += *given == '@' || *given == '=';
    if (given[0] == format && !given[1] && view->itemsize == (format == INTS ? 4 : 8))
        return true;
    PyErr_Format(PyExc_ValueError, "%s: a buffer of %s is needed, and this one is of format '%s'", name,
                 format == INTS ? "int32" : "float64", given);
    PyBuffer_Release(view);
    return false;
}

static void free_program(Program *program) {
    PyMem_Free(program->instructions);
    PyMem_Free(program->once_tape);
    PyMem_Free(program->broadcasts);
    PyMem_Free(program->guards);
    PyMem_Free(program->tables);
    PyMem_Free(program->numbers);
    PyMem_Free(program->results);
    PyMem_Free(program->copies);
    PyMem_Free(program->sums);
}

static void program_dealloc(PyProgram *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (WorkspacePool *pool = self->idle, *next; pool; pool = next) {
        next = pool->next;
        free_pool(pool);
    }
    if (self->pipeline)
        free_pipeline(self->pipeline);
    free_program(&self->program);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"layout", "code", "tables", "results", "sums", "constants", "threads", "kind", NULL};
    static const char formats[] = {INTS, INTS, INTS, INTS, INTS, FLOATS};
    PyObject *objects[6];
    const char *kind = NULL;
    int threads = 1, got = 0, k = count_kinds() - 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOO|iz", names, objects, objects + 1, objects + 2, objects + 3,
                                     objects + 4, objects + 5, &threads, &kind))
        return NULL;
    if (threads < 1 || threads > MAX_THREADS)
        return PyErr_Format(PyExc_ValueError, "threads: 1 to %d, got %d", MAX_THREADS, threads);
    while (kind && k >= 0 && strcmp(kind, KINDS[k].name))
        k--;
    if (k < 0)
        return PyErr_Format(PyExc_ValueError, "kind: this machine has none called '%s'", kind);
    PyProgram *self = (PyProgram *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    self->program.threads = threads;
    self->program.kind = k;
    Py_buffer views[6];
    while (got < 6 && get_buffer(objects[got], names[got], formats[got], false, views + got))
        got++;
    bool read = false;
    if (got == 6) {
        Encoding encoding = {
            views[0].buf,     views[1].buf,     views[2].buf,     views[3].buf,     views[4].buf,     views[5].buf,
            views[0].len / 4, views[1].len / 4, views[2].len / 4, views[3].len / 4, views[4].len / 4, views[5].len / 8,
        };
        read = read_program(&self->program, &encoding);
    }
    while (got)
        PyBuffer_Release(views + --got);
    if (read && !kind)
        self->program.kind = best_kind(&self->program);
    if (read)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

/* True if `count` is n times `width`; otherwise false and a ValueError about `name`. */
static bool has_length(const char *name, ptrdiff_t count, Py_ssize_t n, ptrdiff_t width) {
    if (width ? count % width == 0 && count / width == n : count == 0)
        return true;
    PyErr_Format(PyExc_ValueError, "%s has %zd numbers, and %zd times %zd are needed", name, (Py_ssize_t)count, n,
                 (Py_ssize_t)width);
    return false;
}

/* The buffers of one argument of a call, and the tables in them. */
typedef struct {
    Py_buffer *views;
    Tables got;
} Buffers;

static void release(Buffers *buffers) {
    for (ptrdiff_t b = 0; b < buffers->got.count; b++)
        PyBuffer_Release(buffers->views + b);
    PyMem_Free(buffers->views);
    PyMem_Free(buffers->got.tables);
}

/* Get the buffers of `given`, a buffer or a tuple of buffers, that hold n rows of `width` numbers together. False and
   an exception if it does not. The caller releases `buffers` in both cases. */
static bool get_tables(PyObject *given, const char *name, Py_ssize_t n, ptrdiff_t width, bool writable,
                       Buffers *buffers) {
    Py_ssize_t count = PyTuple_Check(given) ? PyTuple_Size(given) : 1;
    ptrdiff_t all = 0;
    bool even = true;
    buffers->views = allocate(count, sizeof(Py_buffer));
    buffers->got.tables = allocate(count, sizeof(Table));
    if (!buffers->views || !buffers->got.tables)
        return false;
    for (Py_ssize_t b = 0; b < count; b++) {
        PyObject *object = PyTuple_Check(given) ? PyTuple_GetItem(given, b) : given;
        Py_buffer *view = buffers->views + b;
        if (!get_buffer(object, name, FLOATS, writable, view))
            return false;
        ptrdiff_t numbers = view->len / (Py_ssize_t)sizeof(double);
        buffers->got.tables[b] = (Table){view->buf, n ? numbers / n : 0};
        buffers->got.count++;
        even = even && (n ? numbers % n == 0 : numbers == 0);
        all += numbers;
    }
    if (!has_length(name, all, n, width))
        return false;
    if (!even)
        PyErr_Format(PyExc_ValueError, "%s: the length of a buffer is not a multiple of %zd rows", name, n);
    return even;
}

static PyObject *program_run_into(PyProgram *self, PyObject *const *args, Py_ssize_t count) {
    Program *program = &self->program;
    if (count != 5)
        return PyErr_Format(PyExc_TypeError, "run_into takes n, rows, captured, results and sums, got %zd arguments",
                            count);
    Py_ssize_t n = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (n < 0)
        return PyErr_Format(PyExc_ValueError, "n: %zd rows", n);
    Buffers rows = {0}, captured = {0}, results = {0}, sums = {0};
    bool done = get_tables(args[1], "rows", n, program->inputs, false, &rows) &&
                get_tables(args[2], "captured", 1, program->captured, false, &captured) &&
                get_tables(args[3], "results", n, program->results_count, true, &results) &&
                get_tables(args[4], "sums", 1, program->sums_count, true, &sums);
    if (done && (captured.got.count != 1 || sums.got.count != 1)) {
        PyErr_SetString(PyExc_TypeError, "captured and sums are a buffer each, not a tuple of them");
        done = false;
    }
    if (done && n == 0) {
        memset(sums.views->buf, 0, sums.views->len);
    } else if (done) {
        WorkspacePool *pool = take_pool(self);
        done = pool != NULL;
        if (pool) {
            Py_BEGIN_ALLOW_THREADS;
            run(program, pool, n, rows.got, captured.views->buf, results.got, sums.views->buf);
            Py_END_ALLOW_THREADS;
            give_back(self, pool);
        }
    }
    release(&rows), release(&captured), release(&results), release(&sums);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

#include "kernel_loop.h"
#include "kernel_pipeline.h"
#include "kernel_call.h"

static PyMethodDef program_methods[] = {
    {"call", (PyCFunction)(void (*)(void))program_call, METH_FASTCALL,
     "call(arguments, results, array_type, finish, args)\n--\n\n"
     "Run on the one row of numbers in `args`, and return an object of the structure of the template `results`.\n\n"
     "NotImplemented if `args` does not have the structure of the template `arguments`: see kernel_call.h. Where that\n"
     "has lists, `args` may have arrays of the type `array_type`; then the result is finish(bytearray of\n"
     "results), unless `finish` is None."},
    {"run_into", (PyCFunction)(void (*)(void))program_run_into, METH_FASTCALL,
     "run_into(n, rows, captured, results, sums)\n--\n\n"
     "Run on n rows of float64, and write the results of each row and the sums into the last two.\n\n"
     "All are buffers; rows and results may also be tuples of buffers, each with some columns. If the program has no\n"
     "sums, a buffer may be among rows and results both. Releases the GIL; several threads may call this at once."},
    {"loop", (PyCFunction)(void (*)(void))program_loop, METH_FASTCALL,
     "loop(n, layout, arguments, tables, results, others)\n--\n\n"
     "Run the program as the body of a loop on n rows, and write what the loop gives into the last two buffers.\n\n"
     "`layout` is int32: the number of steps, whether they run in reverse, the numbers of states, of constants, of\n"
     "stored columns, and of those among them that stand in `results`; whether the last argument of a row is 0 if the\n"
     "row does not need the loop; then for each column its table (-1 for `arguments`), start, width and whether all\n"
     "rows share it."},
    {"follow", (PyCFunction)(void (*)(void))program_follow, METH_FASTCALL,
     "follow(inputs, stages, reads)\n--\n\n"
     "Let `call` read `inputs` numbers and run `stages` first: the program then runs on the row and the tables\n"
     "`reads`.\n\n"
     "A stage is (program, reads, shared, body, layout): see kernel_pipeline.h, and `loop` for the layout, in which\n"
     "a column is in a table of any stage before, and has the width of that."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot program_slots[] = {
    {Py_tp_doc, "A program read from the buffers of its encoding; a ValueError if they are malformed."},
    {Py_tp_new, program_new},
    {Py_tp_dealloc, program_dealloc},
    {Py_tp_methods, program_methods},
    {0, NULL},
};

static PyType_Spec program_spec = {
    .name = "autograd_lite.compiler._kernel.Program",
    .basicsize = sizeof(PyProgram),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = program_slots,
};

/* Add Program, and the names of the opcodes and of this machine's kinds of block, with spaces between them. */
static int module_exec(PyObject *module) {
#ifdef HAS_VECTORS
    fill_erf();
#endif
#define NAME(name, ...) #name " "
    const char *opcodes = PRIMITIVES(NAME, NAME) REDUCTIONS(NAME);
#undef NAME
    char kinds[128] = "";
    for (int k = 0; k < count_kinds(); k++)
        strcat(strcat(kinds, KINDS[k].name), " ");
    PyObject *type = PyType_FromModuleAndSpec(module, &program_spec, NULL);
    const bool failed = PyModule_AddObjectRef(module, "Program", type) < 0 ||
                        PyModule_AddStringConstant(module, "OPCODES", opcodes) < 0 ||
                        PyModule_AddStringConstant(module, "KINDS", kinds) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_kernel",
    .m_doc = "Runs programs: see kernel.c.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__kernel(void) {
    return PyModuleDef_Init(&module);
}
