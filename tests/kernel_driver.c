/* Runs a program in the kernel without Python, on machines that have only an emulator: see test_platforms.py.

   Reads from stdin: the lengths of the six buffers of an encoding and the buffers; how many kinds to leave out, from the
   largest on; the number of rows; the rows and the captured numbers. Writes the results and the sums to stdout. */

#include "../autograd_lite/compiler/kernel.c"

#include <stdio.h>

/* What the kernel needs of Python to read and run a program. */

PyObject *PyExc_ValueError;

PyObject *PyErr_Format(PyObject *type, const char *format, ...) {
    (void)type;
    fprintf(stderr, "the kernel refused the program: %s\n", format);
    exit(2);
}

PyObject *PyErr_NoMemory(void) {
    exit(3);
}

void *PyMem_Calloc(size_t count, size_t size) {
    return calloc(count, size);
}

void PyMem_Free(void *memory) {
    free(memory);
}

static void *get(size_t count, size_t size) {
    void *memory = malloc(count * size + 1);
    if (!memory || fread(memory, size, count, stdin) != count)
        exit(4);
    return memory;
}

int main(void) {
#ifdef HAS_VECTORS
    fill_erf();
#endif
    const int32_t *lengths = get(6, sizeof(int32_t)), *ints[5];
    for (int n = 0; n < 5; n++)
        ints[n] = get(lengths[n], sizeof(int32_t));
    const Encoding encoding = {
        ints[0],    ints[1],    ints[2],    ints[3],    ints[4],    get(lengths[5], sizeof(double)),
        lengths[0], lengths[1], lengths[2], lengths[3], lengths[4], lengths[5],
    };
    const int32_t *call = get(2, sizeof(int32_t)), rows = call[1];
    Program program = {.threads = 1};
    if (!read_program(&program, &encoding))
        return 5;
    program.kind = call[0] < count_kinds() ? count_kinds() - 1 - call[0] : 0;
    Table input = {get((size_t)rows * program.inputs, sizeof(double)), program.inputs};
    const double *captured = get(program.captured, sizeof(double));
    Table output = {malloc(rows * program.results_count * sizeof(double) + 1), program.results_count};
    double *sums = malloc(program.sums_count * sizeof(double) + 1);
    WorkspacePool *pool = make_pool(&program);
    run(&program, pool, rows, (Tables){&input, 1}, captured, (Tables){&output, 1}, sums);
    fwrite(output.numbers, sizeof(double), rows * program.results_count, stdout);
    fwrite(sums, sizeof(double), program.sums_count, stdout);
    fprintf(stderr, "%s\n", KINDS[program.kind].name);
    return 0;
}
