/* The executor in C: runs a program (program.py) with a block of rows side by side in the lanes of SIMD registers.

   It knows numbers and addresses, and no derivatives: those are instructions like any other. In order of appearance:

       the table         each primitive's number from numbers
       the program       what `Program.encode` gives, checked, with each instruction planned: see `Form`
       the interpreter   kernel_lanes.h, once for each width of SIMD register
       a call            memory to work in, threads, and which interpreter
       Python            Program(...).run_into(n, rows, captured, results, sums)

   A number is what primitives.py has to a few units in the last place, whatever lane it is in; infinities, nans and the
   signs of zeros are the same, but for a sum that overflows on the way: terms are added up in an order of its own. */

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

/* ieee.py in the terms of kernel_lanes.h: a formula in x, in x and y, or in c, x and y. */
#define PRIMITIVES(ONE, TWO, THREE)                                                                                    \
    TWO(add, x + y)                                                                                                    \
    TWO(sub, x - y)                                                                                                    \
    TWO(mul, x * y)                                                                                                    \
    TWO(div, x / y)                                                                                                    \
    TWO(mod, N(mod)(x, y))                                                                                             \
    TWO(floordiv, N(floordiv)(x, y))                                                                                   \
    ONE(neg, -x)                                                                                                       \
    TWO(pow_const, N(pow)(x, y))                                                                                       \
    TWO(pow, N(pow)(x, y))                                                                                             \
    TWO(hypot, N(hypot)(x, y))                                                                                         \
    ONE(exp, N(exp)(x))                                                                                                \
    ONE(log, N(log)(x))                                                                                                \
    ONE(exp2, N(exp2)(x))                                                                                              \
    ONE(log2, N(log2)(x))                                                                                              \
    ONE(log10, N(log10)(x))                                                                                            \
    ONE(log1p, N(log1p)(x))                                                                                            \
    ONE(expm1, N(expm1)(x))                                                                                            \
    ONE(sqrt, SQRT(x))                                                                                                 \
    ONE(cbrt, N(cbrt)(x))                                                                                              \
    ONE(sin, N(sin)(x))                                                                                                \
    ONE(cos, N(cos)(x))                                                                                                \
    ONE(tan, N(tan)(x))                                                                                                \
    ONE(asin, N(asin)(x))                                                                                              \
    ONE(acos, N(acos)(x))                                                                                              \
    ONE(atan, N(atan)(x))                                                                                              \
    TWO(atan2, N(atan2)(x, y))                                                                                         \
    ONE(sinh, N(sinh)(x))                                                                                              \
    ONE(cosh, N(cosh)(x))                                                                                              \
    ONE(tanh, N(tanh)(x))                                                                                              \
    ONE(asinh, N(asinh)(x))                                                                                            \
    ONE(acosh, N(acosh)(x))                                                                                            \
    ONE(atanh, N(atanh)(x))                                                                                            \
    ONE(erf, N(erf)(x))                                                                                                \
    ONE(sigmoid, N(sigmoid)(x))                                                                                        \
    ONE(softplus, N(softplus)(x))                                                                                      \
    ONE(relu, SELECT(x <= 0, SPLAT(0.0), x))                                                                           \
    ONE(step, SELECT(x <= 0, SPLAT(0.0), SPLAT(1.0)))                                                                  \
    ONE(sign, SELECT(x > 0, SPLAT(1.0), SELECT(x < 0, SPLAT(-1.0), x)))                                                \
    ONE(abs, N(fabs)(x))                                                                                               \
    ONE(floor, N(floor)(x))                                                                                            \
    ONE(ceil, N(ceil)(x))                                                                                              \
    ONE(round, N(rint)(x))                                                                                             \
    TWO(maximum, SELECT((x > y) | (x != x), x, y))                                                                     \
    TWO(minimum, SELECT((x < y) | (x != x), x, y))                                                                     \
    TWO(share, SELECT(x == y, SPLAT(0.5), SELECT(x < y, SPLAT(0.0), SPLAT(1.0))))                                      \
    THREE(where, SELECT(c != 0, x, y))                                                                                 \
    ONE(detach, x)

/* The two that reduce, with the number of their operands: kernel_lanes.h has a room for them. */
#define REDUCTIONS(ROW) ROW(sum, 2) ROW(dot, 3)

#define OPCODE(name, _) OP_##name,
typedef enum { PRIMITIVES(OPCODE, OPCODE, OPCODE) REDUCTIONS(OPCODE) OPCODES } Opcode;
#undef OPCODE

#define ONE(name, _) {#name, 1, false},
#define TWO(name, _) {#name, 2, false},
#define THREE(name, _) {#name, 3, false},
#define ROW(name, arity) {#name, arity, true},
static const struct {
    const char *name;
    int arity;
    bool reduces;
} TABLE[] = {PRIMITIVES(ONE, TWO, THREE) REDUCTIONS(ROW)};
#undef ONE
#undef TWO
#undef THREE
#undef ROW

/* --- The program -------------------------------------------------------------------------------------------------- */

/* The address of an operand within the shared numbers or the numbers of a row: the nth of `table`, or
   start + j * outer + i * inner + k * depth. If it is `flat`, that is start + (j * I + i) * step + k * depth. */
typedef struct {
    const int32_t *table;
    bool shared, flat;
    ptrdiff_t start, outer, inner, depth, step;
} Operand;

/* How an instruction is run. */
typedef enum {
    POINTWISE,      /* one number from one number of each operand */
    REDUCTION,      /* sum and dot */
    MATRIX_PRODUCT, /* a dot whose x depends on j and k only, and whose y, in rows, on i and k only */
    OUTER           /* the total over rows of products of such an x and y, both in rows */
} Form;

/* Writes at dst + j * dj + i * di. The last two forms have x and y in operands 1 and 2; they may have j and i, and x
   and y, the other way round than the program has them. `init_I` is I as the program has it, and operand 0. */
typedef struct {
    Opcode opcode;
    Form form;
    int arity;
    ptrdiff_t dst, J, I, K, width, dj, di, init_I;
    ptrdiff_t at, pitch; /* of a total: where its sums are in Desk.sums, and of OUTER the length of a line of them */
    ptrdiff_t lanes_at;  /* where they are lane by lane in Desk.lanes, unless OUTER */
    Operand operands[3];
} Instruction;

/* One number of a tape: what makes it, and the addresses it is made from. Its own address is the next one. The lists
   of SUM and DOT stand in the steps that follow, four addresses in each. */
typedef struct {
    int32_t code, a, b, c;
} Step;

/* The codes of steps beside the opcodes of POINTWISE instructions. */
#define STEP_CODES(ROW)                                                                                                \
    ROW(SUM3)  /* a + b + c */                                                                                         \
    ROW(SUM)   /* a and c numbers of the list */                                                                       \
    ROW(DOT1)  /* a + b * c */                                                                                         \
    ROW(DOT2)  /* a + b * c + the product of the first two in the list */                                              \
    ROW(DOT3)  /* a + b * c + the products of the first two and of the next two in the list */                         \
    ROW(DOT)   /* a and c products of two neighbours in the list */                                                    \
    ROW(WIDE)  /* run instruction a, which makes b numbers */                                                          \
    ROW(END)
#define STEP_CODE(name) STEP_##name,
enum { STEP_ABOVE = OPCODES - 1, STEP_CODES(STEP_CODE) };
#undef STEP_CODE

enum { NARROW = 8 }; /* instructions that read at most so many numbers of an operand are put on the tape */

/* Numbers side by side. */
typedef struct {
    ptrdiff_t first, count;
} Run;

typedef struct {
    ptrdiff_t constants, captured, inputs, once, each, total; /* how many there are, as in Program.encode */
    ptrdiff_t shared, rows, size;                             /* where the regions end, as in program.py */
    Instruction *instructions;
    Step *once_tape, *each_tape; /* parts of one allocation, for blocks of one row */
    int32_t **tables; /* four for each instruction, NULL where there is none */
    double *numbers;  /* the constants */
    int32_t *results; /* addresses */
    Run *sums;        /* where they are in Desk.sums */
    ptrdiff_t results_count, sums_count, runs_count;
    ptrdiff_t terms_size, starts_size, lanes_size, sums_size, pitch; /* sizes of the parts of a Desk; the longest pitch */
    bool outer;                                         /* whether there is an OUTER */
    int threads, kind; /* the most threads, and the largest of KINDS */
} Program;

/* What a call is given, or where it writes: rows of numbers, in one table or in several side by side. */
typedef struct {
    double *numbers;
    ptrdiff_t width; /* numbers in a row */
} Table;

typedef struct {
    Table *tables;
    ptrdiff_t count;
} Tables;

enum { CHUNK = 32 };  /* how many numbers of an operand are brought in line at a time */
enum { NEAR = 3072 }; /* how many numbers fit into the first cache and leave room */

/* What instructions read. */
typedef struct {
    const double *shared;
    const double *rows;
    double *lines;           /* room for CHUNK numbers of each operand, */
    double *starts;          /* and for what a sum or dot starts from */
    const struct Kind *kind; /* the largest kind of block in use, whose registers do for a block of one row, too */
} Numbers;

/* What one thread works on: the numbers of its block and the totals so far. */
typedef struct {
    double *rows;   /* of a block */
    double *terms;  /* of a total, for each row of a block */
    double *lanes;  /* totals so far, lane by lane */
    double *sums;   /* totals so far, in one number, and in the end all of them */
    double *turned; /* operands of an OUTER with a line for each row: NEAR numbers, or one operand */
    double *lines;  /* operands in line, and what sums start from: see Numbers */
    double *starts;
} Desk;

/* --- Loading ------------------------------------------------------------------------------------------------------ */

static bool malformed(const char *what, ptrdiff_t n) {
    PyErr_Format(PyExc_ValueError, "malformed program: %s %zd", what, (Py_ssize_t)n);
    return false;
}

/* Room for `count` things of `size` bytes, zeroed; NULL and a MemoryError if there is none. */
static void *allocate(int64_t count, size_t size) {
    void *memory = count < PY_SSIZE_T_MAX / 2 / (int64_t)size ? PyMem_Calloc((size_t)count + !count, size) : NULL;
    if (!memory)
        PyErr_NoMemory();
    return memory;
}

/* What a program is read from: its encoding. */
typedef struct {
    const int32_t *layout, *code, *tables, *results, *sums;
    const double *constants;
    ptrdiff_t layout_count, code_count, tables_count, results_count, sums_count, constants_count;
} Encoding;

enum { LAYOUT = 7, RECORD = 20 }; /* numbers in `layout`, and in `code` for an instruction */

/* Let `x` be the operand that `record` describes, of the loop nest `points`. A table of its own is left in `own`. */
static bool resolve(const Program *program, const Encoding *encoding, const int32_t *record, const int64_t *points,
                    int64_t defined, ptrdiff_t n, Operand *x, int32_t **own) {
    int64_t low, high, count = points[0] * points[1] * points[2];
    bool listed = record[0] >= 0;
    if (record[0] < -1 || (listed && (record[1] || record[2] || record[3] || record[4])))
        return malformed("an operand that is neither listed nor strided, in instruction", n);
    if (listed) {
        if (count > encoding->tables_count - record[0])
            return malformed("an operand beyond the tables, in instruction", n);
        const int32_t *addresses = encoding->tables + record[0];
        low = high = addresses[0];
        for (int64_t p = 1; p < count; p++) {
            low = addresses[p] < low ? addresses[p] : low;
            high = addresses[p] > high ? addresses[p] : high;
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
    int32_t base = x->shared ? 0 : (int32_t)program->shared;
    if (listed) {
        *own = allocate(count, sizeof(int32_t));
        if (!*own)
            return false;
        for (int64_t p = 0; p < count; p++)
            (*own)[p] = encoding->tables[record[0] + p] - base;
        x->table = *own;
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

/* Let the strided operand list its addresses. */
static bool list(const Instruction *q, Operand *x, int32_t **own) {
    int32_t *next = *own = allocate((int64_t)q->width * q->K, sizeof(int32_t));
    if (!next)
        return false;
    for (ptrdiff_t j = 0; j < q->J; j++)
        for (ptrdiff_t i = 0; i < q->I; i++)
            for (ptrdiff_t k = 0; k < q->K; k++)
                *next++ = (int32_t)(x->start + j * x->outer + i * x->inner + k * x->depth);
    x->table = *own;
    return true;
}

static void exchange_operands(Instruction *q) {
    Operand x = q->operands[1];
    q->operands[1] = q->operands[2];
    q->operands[2] = x;
}

/* Take j for i, and x for y. */
static void transpose(Instruction *q) {
    ptrdiff_t J = q->J, dj = q->dj;
    q->J = q->I, q->dj = q->di;
    q->I = J, q->di = dj;
    for (Operand *x = q->operands + 1; x < q->operands + 3; x++) {
        ptrdiff_t outer = x->outer;
        x->outer = x->inner;
        x->inner = outer;
    }
    exchange_operands(q);
}

/* Whether x, which is operand 1, can be had to depend on j and not on i, and y on i and not on j. */
static bool is_product(Instruction *q) {
    const Operand *x = q->operands + 1, *y = q->operands + 2;
    if (x->inner || y->outer)
        exchange_operands(q);
    return !x->table && !y->table && !x->inner && !y->outer;
}

static bool is_zero(const Program *program, const Operand *x) {
    return x->shared && !x->table && !x->outer && !x->inner && x->start < program->constants &&
           program->numbers[x->start] == 0;
}

static ptrdiff_t in_eights(ptrdiff_t n) {
    return (n + 7) / 8 * 8;
}

/* Whether the total is of the form OUTER: then it is made so. */
static bool make_outer(const Program *program, Instruction *q) {
    Instruction made = *q;
    if (q->opcode == OP_mul) {
        made.operands[1] = q->operands[0];
        made.operands[2] = q->operands[1];
    } else if (q->opcode != OP_dot || !is_zero(program, q->operands)) {
        return false;
    }
    if (made.operands[1].shared || made.operands[2].shared || !is_product(&made))
        return false;
    if (made.J * in_eights(made.I) > made.I * in_eights(made.J))
        transpose(&made);
    if (made.I < 4)
        return false;
    made.form = OUTER;
    made.pitch = in_eights(made.I);
    *q = made;
    return true;
}

/* Choose the form of an instruction whose operands are resolved. */
static bool choose_form(const Program *program, Instruction *q, bool total, int32_t **own) {
    Operand *x = q->operands + 1, *y = q->operands + 2;
    q->form = POINTWISE;
    if ((total && make_outer(program, q)) || !TABLE[q->opcode].reduces)
        return true;
    q->form = REDUCTION;
    if (q->opcode == OP_sum)
        return true;
    if (!(x->shared && y->shared) && is_product(q)) {
        q->form = MATRIX_PRODUCT;
        if (y->shared || (!x->shared && q->J < q->I))
            transpose(q);
        return true;
    }
    if (y->shared && !x->shared)
        exchange_operands(q);
    if (x->table && !y->table)
        return list(q, y, own);
    return !y->table || x->table || list(q, x, own);
}

/* Read instruction `n`, which is to write at `next`. */
static bool read_instruction(Program *program, const Encoding *encoding, ptrdiff_t n, int64_t next, int64_t end) {
    const int32_t *record = encoding->code + n * RECORD;
    Instruction *q = program->instructions + n;
    int32_t **tables = program->tables + 4 * n; /* one for each operand, and one for `list` */
    bool once = n < program->once, total = n >= program->once + program->each;
    if (record[0] < 0 || record[0] >= OPCODES)
        return malformed("an unknown opcode, in instruction", n);
    q->opcode = (Opcode)record[0];
    q->arity = TABLE[q->opcode].arity;
    bool reduces = TABLE[q->opcode].reduces;
    if (record[2] < 1 || record[3] < 1 || record[4] < 1 || (record[4] > 1 && !reduces))
        return malformed("the loop nest of instruction", n);
    if (record[1] != next || (int64_t)record[2] * record[3] > end - next)
        return malformed("the addresses to write of instruction", n);
    q->J = record[2], q->I = q->init_I = q->dj = record[3], q->K = record[4];
    q->di = 1;
    q->width = q->J * q->I;
    q->dst = (ptrdiff_t)(next - (once ? 0 : total ? program->rows : program->shared));
    for (int a = 0; a < 3; a++) {
        const int32_t *described = record + 5 + 5 * a;
        int64_t points[3] = {q->J, q->I, reduces && a ? q->K : 1};
        if (a < q->arity) {
            int64_t defined = total ? program->rows : next;
            if (!resolve(program, encoding, described, points, defined, n, q->operands + a, tables + a))
                return false;
        } else if (described[0] != -1 || described[1] || described[2] || described[3] || described[4]) {
            return malformed("too many operands of instruction", n);
        }
    }
    if (reduces && q->width > program->starts_size)
        program->starts_size = q->width;
    return choose_form(program, q, total, tables + 3);
}

/* Give the sums of each total a place on a Desk; `places` is where each address of the region is then. */
static void place_totals(Program *program, ptrdiff_t *places) {
    Instruction *q = program->instructions + program->once + program->each, *end = q + program->total;
    for (; q < end; q++) {
        q->at = program->sums_size;
        if (q->form == OUTER) {
            program->outer = true;
            program->sums_size += q->J * q->pitch;
            program->pitch = q->pitch > program->pitch ? q->pitch : program->pitch;
        } else {
            q->lanes_at = program->lanes_size;
            program->lanes_size += in_eights(q->width);
            program->sums_size += in_eights(q->width);
            program->terms_size = q->width > program->terms_size ? q->width : program->terms_size;
        }
        for (ptrdiff_t j = 0; j < q->J; j++)
            for (ptrdiff_t i = 0; i < q->I; i++) {
                ptrdiff_t p = j * q->dj + i * q->di;
                places[q->dst + p] = q->at + (q->form == OUTER ? j * q->pitch + i : p);
            }
    }
}

/* The address of operand `x` of `q` at the nth number that it makes and at k. */
static int32_t address_at(const Program *program, const Instruction *q, const Operand *x, ptrdiff_t n, ptrdiff_t k) {
    const bool init = TABLE[q->opcode].reduces && x == q->operands;
    const ptrdiff_t K = init ? 1 : q->K, base = x->shared ? 0 : program->shared;
    if (x->table)
        return (int32_t)(base + x->table[n * K + k]);
    ptrdiff_t j = n / q->init_I, i = n % q->init_I;
    if (!init && (q->J == 1 || q->di != 1)) /* a single line, or transposed */
        j = n % q->J, i = n / q->J;
    return (int32_t)(base + x->start + j * x->outer + i * x->inner + k * x->depth);
}

/* Write the steps of a narrow instruction, if `steps` is not NULL; how many there are. */
static ptrdiff_t write_narrow(const Program *program, const Instruction *q, Step *steps) {
    const bool product = q->opcode == OP_dot;
    const ptrdiff_t K = q->K, listed = product ? 2 * K : K;
    ptrdiff_t count = 0;
    for (ptrdiff_t n = 0; n < q->width; n++) {
        int32_t from[3] = {0};
        for (int a = 0; a < q->arity; a++)
            from[a] = address_at(program, q, q->operands + a, n, 0);
        Step step = {q->opcode, from[0], from[1], from[2]};
        if (!TABLE[q->opcode].reduces || (!product && K == 1)) {
            step.code = q->opcode == OP_sum ? OP_add : q->opcode;
            if (steps)
                steps[count] = step;
            count++;
            continue;
        }
        ptrdiff_t first = product ? 1 : 0; /* of the terms in the list */
        if (product && K <= 3)
            step.code = K == 1 ? STEP_DOT1 : K == 2 ? STEP_DOT2 : STEP_DOT3;
        else if (!product && K == 2)
            step.code = STEP_SUM3, step.c = address_at(program, q, q->operands + 1, n, 1), first = 2;
        else
            step.code = product ? STEP_DOT : STEP_SUM, step.c = (int32_t)K, first = 0;
        const ptrdiff_t slots = (listed - first * (product ? 2 : 1) + 3) / 4;
        if (steps) {
            steps[count] = step;
            int32_t *list = &steps[count + 1].code;
            for (ptrdiff_t k = first; k < K; k++)
                for (int a = 1; a < q->arity; a++)
                    *list++ = address_at(program, q, q->operands + a, n, k);
        }
        count += 1 + slots;
    }
    return count;
}

/* Write the tape of `count` instructions, if `steps` is not NULL; how many steps there are. */
static ptrdiff_t write_tape(const Program *program, const Instruction *q, ptrdiff_t count, Step *steps) {
    ptrdiff_t written = 0;
    for (const Instruction *end = q + count; q < end; q++) {
        if (q->width * q->K <= NARROW) {
            written += write_narrow(program, q, steps ? steps + written : NULL);
            continue;
        }
        if (steps)
            steps[written] = (Step){STEP_WIDE, (int32_t)(q - program->instructions), (int32_t)q->width, 0};
        written++;
    }
    if (steps)
        steps[written].code = STEP_END;
    return written + 1;
}

/* Write the tapes; false and a MemoryError if there is no memory. */
static bool make_tapes(Program *program) {
    const Instruction *once = program->instructions, *each = once + program->once;
    ptrdiff_t first = write_tape(program, once, program->once, NULL);
    program->once_tape = allocate(first + write_tape(program, each, program->each, NULL), sizeof(Step));
    if (!program->once_tape)
        return false;
    program->each_tape = program->once_tape + first;
    write_tape(program, once, program->once, program->once_tape);
    write_tape(program, each, program->each, program->each_tape);
    return true;
}

/* Read the whole of it; false, and a ValueError or MemoryError, if that cannot be. */
static bool read_program(Program *program, const Encoding *encoding) {
    const int32_t *layout = encoding->layout;
    if (encoding->layout_count != LAYOUT)
        return malformed("the length of the layout,", encoding->layout_count);
    for (int n = 0; n < LAYOUT; n++)
        if (layout[n] < 0)
            return malformed("a negative number in the layout,", layout[n]);
    int64_t instructions = (int64_t)layout[3] + layout[4] + layout[5];
    if (layout[0] != encoding->constants_count)
        return malformed("the number of constants,", encoding->constants_count);
    if (encoding->code_count % RECORD || encoding->code_count / RECORD != instructions)
        return malformed("the length of the code,", encoding->code_count);
    program->constants = layout[0], program->captured = layout[1], program->inputs = layout[2];
    program->once = layout[3], program->each = layout[4], program->total = layout[5];
    program->size = layout[6];
    program->instructions = allocate(instructions, sizeof(Instruction));
    program->tables = allocate(4 * instructions, sizeof(int32_t *));
    program->numbers = allocate(layout[0], sizeof(double));
    if (!program->instructions || !program->tables || !program->numbers)
        return false;
    memcpy(program->numbers, encoding->constants, layout[0] * sizeof(double));

    /* Where the regions end, before an instruction is read: `shared` tells one kind of operand from the other. */
    int64_t ends[3], next = (int64_t)layout[0] + layout[1];
    ptrdiff_t n = 0;
    for (int stage = 0; stage < 3; stage++) {
        for (ptrdiff_t last = n + layout[3 + stage]; n < last; n++) {
            const int32_t *shape = encoding->code + n * RECORD + 2;
            if (shape[0] < 1 || shape[1] < 1 || (int64_t)shape[0] * shape[1] > layout[6])
                return malformed("the loop nest of instruction", n);
            next += (int64_t)shape[0] * shape[1];
        }
        ends[stage] = next;
        next += stage == 0 ? layout[2] : 0;
    }
    if (ends[2] != layout[6])
        return malformed("the size,", layout[6]);
    program->shared = (ptrdiff_t)ends[0], program->rows = (ptrdiff_t)ends[1];
    next = (int64_t)layout[0] + layout[1];
    for (n = 0; n < instructions; n++) {
        next += n == program->once ? program->inputs : 0;
        if (!read_instruction(program, encoding, n, next, program->size))
            return false;
        next += program->instructions[n].width;
    }

    program->results_count = encoding->results_count, program->sums_count = encoding->sums_count;
    ptrdiff_t *places = allocate(program->size - program->rows, sizeof(ptrdiff_t));
    program->results = allocate(program->results_count, sizeof(int32_t));
    program->sums = allocate(program->sums_count, sizeof(Run));
    bool read = places && program->results && program->sums;
    if (read)
        place_totals(program, places);
    for (n = 0; read && n < program->results_count; n++) {
        program->results[n] = encoding->results[n];
        if (program->results[n] < 0 || program->results[n] >= program->rows)
            read = malformed("an address out of range, that of result", n);
    }
    for (n = 0; read && n < program->sums_count; n++) {
        if (encoding->sums[n] < program->rows || encoding->sums[n] >= program->size) {
            read = malformed("an address out of range, that of sum", n);
            break;
        }
        ptrdiff_t place = places[encoding->sums[n] - program->rows];
        Run *last = program->sums + program->runs_count - 1;
        if (n && last->first + last->count == place)
            last->count++;
        else
            program->sums[program->runs_count++] = (Run){place, 1};
    }
    PyMem_Free(places);
    return read && make_tapes(program);
}

/* --- The interpreter, for each kind of block ----------------------------------------------------------------- */

#define PASTE_(name, kind) name##_##kind
#define PASTE(name, kind) PASTE_(name, kind)
#define ROUTINE static TARGET
#define UNROLL
#define ONCE
#ifdef __GNUC__
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline)) TARGET
#else
#define NOINLINE
#define INLINE static inline
#endif

/* A kind of block, and what it is done with: see kernel_lanes.h. */
typedef struct Kind {
    const char *name;
    int rows;
    bool (*run_rows)(const Program *, const Numbers *, Tables, Tables, ptrdiff_t, ptrdiff_t, Desk *, bool);
    bool (*product_of_one)(const Instruction *, const Numbers *, const double *, ptrdiff_t, double *);
    void (*outer_product)(const Instruction *, int, int, Desk *, bool);
} Kind;

#define LANES 1
#define REGISTERS 16
#define TARGET
#define FMA(x, y, z) ((x) * (y) + (z))
#define SQRT(x) sqrt(x)
#define ANY(mask) (mask)
#define KIND plain
#define WIDE 1
#include "kernel_lanes.h"

/* The rest is for compilers with vectors in the language, and machines that do not compute in a wider format. */
#if defined(__GNUC__) && FLT_EVAL_METHOD == 0
#define HAS_VECTORS
#undef UNROLL
#define UNROLL _Pragma("GCC unroll 8")
#undef ONCE
#define ONCE _Pragma("GCC unroll 1")
#pragma GCC diagnostic ignored "-Wpsabi" /* no vector is an argument in the end, for all is inlined */
#ifdef __clang__
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (M){__VA_ARGS__})
#endif

/* log(2) in two parts, the first of which times an integer is exact; and the bits of sqrt(1/2). */
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
static const double ATANH[] = {0.666666666666667,   0.3999999999989889,  0.28571428626253836, 0.22222211089379496,
                               0.1818289243253687,  0.15331611722055008, 0.14617807153417325};

#undef LANES
#undef REGISTERS
#undef TARGET
#undef FMA
#undef SQRT
#undef ANY
#define LANES 2
#define TARGET
#define ANY(mask) N(any)(mask)
#ifdef __aarch64__
#include <arm_neon.h>
#define REGISTERS 32
#define FMA(x, y, z) vfmaq_f64(z, x, y)
#define SQRT(x) vsqrtq_f64(x)
#else
#define REGISTERS 16
#define FMA(x, y, z) ((x) * (y) + (z))
#define SQRT(x) N(sqrt)(x)
#endif
#define KIND vectors
#define WIDE 2
#include "kernel_lanes.h"

#ifdef __x86_64__
#define HAS_AVX
#include <immintrin.h>

#undef LANES
#undef REGISTERS
#undef TARGET
#undef FMA
#undef SQRT
#undef ANY
#define LANES 4
#define REGISTERS 16
#define TARGET __attribute__((target("avx2,fma")))
#define FMA(x, y, z) _mm256_fmadd_pd(x, y, z)
#define SQRT(x) _mm256_sqrt_pd(x)
#define ANY(mask) _mm256_movemask_pd((__m256d)(mask))
#define KIND avx2
#define WIDE 1
#include "kernel_lanes.h"
#define KIND avx2x2
#define WIDE 2
#include "kernel_lanes.h"
#define KIND avx2x8
#define WIDE 8
#include "kernel_lanes.h"

#undef LANES
#undef REGISTERS
#undef TARGET
#undef FMA
#undef SQRT
#undef ANY
#define LANES 8
#define REGISTERS 32
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
#define FMA(x, y, z) _mm512_fmadd_pd(x, y, z)
#define SQRT(x) _mm512_sqrt_pd(x)
#define ANY(mask) _mm512_movepi64_mask((__m512i)(mask))
#define KIND avx512
#define WIDE 1
#include "kernel_lanes.h"
#define KIND avx512x2
#define WIDE 2
#include "kernel_lanes.h"
#define KIND avx512x8
#define WIDE 8
#include "kernel_lanes.h"
#endif
#endif

#define BLOCK(kind, rows) {#kind, rows, run_rows_##kind, product_of_one_##kind, outer_product_##kind}

/* The kinds of block, from the smallest to the largest; of two of one size the faster one is last. */
static const Kind KINDS[] = {
    BLOCK(plain, 1),
#ifdef HAS_VECTORS
    BLOCK(vectors, 4),
#endif
#ifdef HAS_AVX
    BLOCK(avx2, 4),
    BLOCK(avx2x2, 8),
    BLOCK(avx2x8, 32),
    BLOCK(avx512, 8),
    BLOCK(avx512x2, 16),
    BLOCK(avx512x8, 64),
#endif
};

/* How many of them this machine can run. */
static int count_kinds(void) {
#ifdef HAS_AVX
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return 5;
#endif
    return sizeof(KINDS) / sizeof(*KINDS);
}

/* The largest of them, but those of many rows only if the numbers of a block are near at hand then. */
static int best_kind(const Program *program) {
    int kind = count_kinds() - 1;
    while (KINDS[kind].rows > 16 && (program->rows - program->shared) * KINDS[kind].rows > NEAR)
        kind--;
    return kind;
}

/* --- A call ------------------------------------------------------------------------------------------------------- */

/* Memory for one call: the shared numbers, and a Desk for each thread. Those of a program wait here between calls. */
typedef struct Room {
    struct Room *next;
    void *memory;
    double *shared;
    Desk desks[];
} Room;

static void free_room(Room *room) {
    free(room->memory);
    PyMem_Free(room);
}

/* A part of `size` doubles of the memory from *top on, where a cache line begins. */
static double *part(double **top, int64_t size) {
    double *begin = *top;
    *top += (size + 7) / 8 * 8;
    return begin;
}

/* A room for the program, with the constants in it; NULL and a MemoryError if there is no memory. */
static Room *make_room(const Program *program) {
    const int64_t rows = KINDS[program->kind].rows, line = program->pitch * rows;
    int64_t sizes[7] = {(program->rows - program->shared) * rows, program->terms_size * rows,
                        program->lanes_size * rows, program->sums_size, line && line < NEAR ? NEAR : line,
                        3 * CHUNK * rows, program->starts_size * rows};
    int64_t desk = 0;
    for (int n = 0; n < 7; n++)
        desk += sizes[n] + 8;
    int64_t doubles = 8 + program->shared + 8 + program->threads * desk;
    const ptrdiff_t before = (8 - program->shared % 8) % 8; /* so that the shared numbers end where a cache line does, */
    Room *room = PyMem_Calloc(1, sizeof(Room) + program->threads * sizeof(Desk));
    void *memory = doubles < PY_SSIZE_T_MAX / 8 ? malloc((size_t)doubles * sizeof(double)) : NULL;
    if (!room || !memory) {
        PyMem_Free(room);
        free(memory);
        PyErr_NoMemory();
        return NULL;
    }
    double *top = (double *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    room->memory = memory;
    room->shared = part(&top, before + program->shared) + before; /* and those of the first desk's row follow */
    memcpy(room->shared, program->numbers, program->constants * sizeof(double));
    for (int t = 0; t < program->threads; t++) {
        Desk *desk = room->desks + t;
        desk->rows = part(&top, sizes[0]);
        desk->terms = part(&top, sizes[1]);
        desk->lanes = part(&top, sizes[2]);
        desk->sums = part(&top, sizes[3]);
        desk->turned = part(&top, sizes[4]);
        desk->lines = part(&top, sizes[5]);
        desk->starts = part(&top, sizes[6]);
    }
    return room;
}

/* What a thread does: the rows from `first` to `last`, at a desk. */
typedef struct {
    const Program *program;
    Numbers numbers;
    Tables inputs, outputs;
    ptrdiff_t first, last;
    Desk *desk;
} Job;

/* The kind of block for the next of n rows: the largest that they fill, or the smallest in which there is room. */
static int next_kind(const Program *program, ptrdiff_t n) {
    int kind = program->kind;
    if (n < KINDS[kind].rows)
        for (int k = kind; k >= 0 && n <= KINDS[k].rows; k--)
            if (KINDS[k].rows < KINDS[kind].rows)
                kind = k;
    return kind;
}

/* Do a job; false if that has to be done again, not `fused`. */
static bool do_job(const Job *job, bool fused) {
    const Program *program = job->program;
    bool right = true;
    memset(job->desk->sums, 0, program->sums_size * sizeof(double));
    for (ptrdiff_t row = job->first, n; right && row < job->last; row += n) {
        int kind = next_kind(program, job->last - row), rows = KINDS[kind].rows;
        n = job->last - row < rows ? job->last - row : (job->last - row) / rows * rows;
        right = KINDS[kind].run_rows(program, &job->numbers, job->inputs, job->outputs, row, row + n, job->desk, fused);
    }
    return right;
}

static void *work(void *job) {
    if (!do_job(job, true))
        do_job(job, false);
    return NULL;
}

/* Do the jobs, each in a thread of its own, the first in this one; and whatever no thread can be had for. */
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

/* Run the program on n rows, n > 0, in at most as many threads as it has. Does not touch Python. */
static void run(const Program *program, Room *room, ptrdiff_t n, Tables inputs, const double *captured, Tables outputs,
                double *sums) {
    memcpy(room->shared + program->constants, captured, program->captured * sizeof(double));
    run_once(program, room->shared, room->desks[0].starts);
    const ptrdiff_t rows = KINDS[program->kind].rows, blocks = (n + rows - 1) / rows;
    const int threads = blocks < program->threads ? (int)blocks : program->threads;
    Job jobs[MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        ptrdiff_t first = blocks * t / threads * rows, last = blocks * (t + 1) / threads * rows;
        Desk *desk = room->desks + t;
        jobs[t] = (Job){
            program,
            {room->shared, desk->rows, desk->lines, desk->starts, KINDS + program->kind},
            inputs,
            outputs,
            first,
            last < n ? last : n,
            desk,
        };
    }
    in_parallel(jobs, threads);
    for (const Run *piece = program->sums, *end = piece + program->runs_count; piece < end; piece++) {
        memcpy(sums, room->desks[0].sums + piece->first, piece->count * sizeof(double));
        for (int t = 1; t < threads; t++)
            for (ptrdiff_t s = 0; s < piece->count; s++)
                sums[s] += room->desks[t].sums[piece->first + s];
        sums += piece->count;
    }
}

/* --- Python ------------------------------------------------------------------------------------------------------- */

/* A Program in Python. */
typedef struct {
    PyObject_HEAD
    Program program;
    Room *rooms; /* those that no call is in: concurrent calls have one each */
} PyProgram;

enum { INTS = 'i', FLOATS = 'd' };

/* The buffer of an object: contiguous, of int32 or float64. False and an exception that says what `name` is instead. */
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
    for (ptrdiff_t n = 0; program->tables && n < 4 * (program->once + program->each + program->total); n++)
        PyMem_Free(program->tables[n]);
    PyMem_Free(program->instructions);
    PyMem_Free(program->once_tape);
    PyMem_Free(program->tables);
    PyMem_Free(program->numbers);
    PyMem_Free(program->results);
    PyMem_Free(program->sums);
}

static void program_dealloc(PyProgram *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (Room *room = self->rooms, *next; room; room = next) {
        next = room->next;
        free_room(room);
    }
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

/* Whether `count` is n times `width`; else a ValueError. */
static bool has_length(const char *name, ptrdiff_t count, Py_ssize_t n, ptrdiff_t width) {
    if (width ? count % width == 0 && count / width == n : count == 0)
        return true;
    PyErr_Format(PyExc_ValueError, "%s has %zd numbers, and %zd times %zd are needed", name, (Py_ssize_t)count, n,
                 (Py_ssize_t)width);
    return false;
}

/* Some of the buffers of a call, and the tables that they are. */
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

/* The buffer that `given` is, or the tuple of them: n rows of `width` numbers in all. False and an exception if not.
   To be released in any case. */
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
        PyErr_Format(PyExc_ValueError, "%s: a buffer has not the same number of numbers for each of %zd rows", name, n);
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
        Room *room = self->rooms;
        if (room)
            self->rooms = room->next;
        else
            room = make_room(program);
        done = room != NULL;
        if (room) {
            Py_BEGIN_ALLOW_THREADS;
            run(program, room, n, rows.got, captured.views->buf, results.got, sums.views->buf);
            Py_END_ALLOW_THREADS;
            room->next = self->rooms;
            self->rooms = room;
        }
    }
    release(&rows), release(&captured), release(&results), release(&sums);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

#include "kernel_call.h"

static PyMethodDef program_methods[] = {
    {"call", (PyCFunction)(void (*)(void))program_call, METH_FASTCALL,
     "call(arguments, results, array_type, finish, args)\n--\n\n"
     "Run on the one row of numbers in `args`, and return an object of the structure of the template `results`.\n\n"
     "NotImplemented if `args` does not have the structure of the template `arguments`: see kernel_call.h. Where that\n"
     "has lists, `args` may have arrays of the type `array_type`; then the result is finish(bytearray of results)."},
    {"run_into", (PyCFunction)(void (*)(void))program_run_into, METH_FASTCALL,
     "run_into(n, rows, captured, results, sums)\n--\n\n"
     "Run on n rows of float64, and write the results of each row and the sums into the last two.\n\n"
     "All are buffers; rows and results may also be tuples of buffers, side by side. Without sums, results may be\n"
     "written where rows are read. Other Python threads go on meanwhile, and may call this too."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot program_slots[] = {
    {Py_tp_doc, "A program from the buffers of its encoding, checked: a ValueError if they are malformed."},
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

/* Add Program, OPCODES and KINDS. */
static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &program_spec, NULL);
    int failed = PyModule_AddObjectRef(module, "Program", type);
    Py_XDECREF(type);
    PyObject *opcodes = PyDict_New();
    for (int op = 0; opcodes && op < OPCODES; op++) {
        PyObject *number = PyLong_FromLong(op);
        failed |= !number || PyDict_SetItemString(opcodes, TABLE[op].name, number) < 0;
        Py_XDECREF(number);
    }
    failed |= PyModule_AddObjectRef(module, "OPCODES", opcodes) < 0;
    Py_XDECREF(opcodes);
    PyObject *kinds = PyList_New(0);
    for (int k = 0; kinds && k < count_kinds(); k++) {
        PyObject *name = PyUnicode_FromString(KINDS[k].name);
        failed |= !name || PyList_Append(kinds, name) < 0;
        Py_XDECREF(name);
    }
    failed |= PyModule_AddObjectRef(module, "KINDS", kinds) < 0;
    Py_XDECREF(kinds);
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
