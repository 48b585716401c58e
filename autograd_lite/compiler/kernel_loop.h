/* Program.loop: many steps of a program, which is the body of a loop. Included by kernel.c.

   The inputs of the body are the states, the constants and the columns of a step; its results are the next states, then
   what the step stores. A table holds n rows, or one that all rows share; every other buffer holds n. */

enum { LOOP_HEAD = 7, LOOP_COLUMN = 4 };

/* Where a column is: step i at `numbers` + i, in rows that are `pitch` apart. */
typedef struct {
    const double *numbers;
    ptrdiff_t pitch;
} LoopColumn;

typedef struct {
    ptrdiff_t steps, states, constants, stored, kept, columns;
    bool reverse, guarded;
} LoopShape;

/* Whether one of n rows needs the loop. The last argument of a guarded loop is 0 in a row that does not. */
static bool needs_loop(const LoopShape *loop, ptrdiff_t n, const double *arguments, ptrdiff_t pitch) {
    for (ptrdiff_t r = 0; loop->guarded && r < n; r++)
        if (arguments[(r + 1) * pitch - 1] != 0)
            return true;
    return !loop->guarded;
}

/* Run the loop on one row: the tape of the body reads its inputs where they are, and steps follow one another without
   anything in between but moving numbers. `next` has room for the states. */
static void run_loop_of_one(const Program *program, WorkspacePool *pool, const LoopShape *loop,
                            const double *arguments, const LoopColumn *columns, double *next, double *results,
                            double *others) {
    const ptrdiff_t states = loop->states, fixed = states + loop->constants, steps = loop->steps;
    const Workspace *workspace = pool->workspaces;
    double *in = workspace->rows;
    run_once(program, workspace);
    broadcast_plain(program, workspace);
    memcpy(in, arguments, fixed * sizeof(double));
    for (ptrdiff_t s = 0; s < steps; s++) {
        const ptrdiff_t i = loop->reverse ? steps - 1 - s : s;
        const int32_t *found = program->results;
        for (ptrdiff_t k = 0; k < loop->columns; k++)
            in[fixed + k] = columns[k].numbers[i];
        run_tape_plain(program, workspace, program->each_tape, in, in + program->inputs);
        for (ptrdiff_t k = 0; k < states; k++)
            next[k] = *number_at(program, workspace, *found++);
        for (ptrdiff_t k = 0; k < loop->kept; k++)
            results[states + k * steps + i] = *number_at(program, workspace, *found++);
        for (ptrdiff_t k = 0; k < loop->stored - loop->kept; k++)
            others[k * steps + i] = *number_at(program, workspace, *found++);
        for (ptrdiff_t k = 0; k < states; k++)
            in[k] = next[k];
    }
    memcpy(results, in, states * sizeof(double));
}

/* Run the loop on n rows. `numbers` has room for the inputs and the results of the body. Does not touch Python. */
static void run_loop(const Program *program, WorkspacePool *pool, ptrdiff_t n, const LoopShape *loop,
                     const double *arguments, ptrdiff_t pitch, const LoopColumn *columns, double *numbers,
                     double *results, double *others) {
    const ptrdiff_t fixed = loop->states + loop->constants, width = program->inputs, found = program->results_count;
    const ptrdiff_t steps = loop->steps, kept = loop->kept, rest = loop->stored - kept;
    double *in = numbers, *out = numbers + n * width;
    Table in_table = {in, width}, out_table = {out, found};
    Tables inputs = {&in_table, 1}, outputs = {&out_table, 1};
    for (ptrdiff_t r = 0; r < n; r++)
        memcpy(in + r * width, arguments + r * pitch, fixed * sizeof(double));
    for (ptrdiff_t s = 0; s < steps; s++) {
        const ptrdiff_t i = loop->reverse ? steps - 1 - s : s;
        for (ptrdiff_t r = 0; r < n; r++)
            for (ptrdiff_t k = 0; k < loop->columns; k++)
                in[r * width + fixed + k] = columns[k].numbers[r * columns[k].pitch + i];
        run(program, pool, n, inputs, in, outputs, out);
        for (ptrdiff_t r = 0; r < n; r++) {
            const double *next = out + r * found, *stored = next + loop->states;
            double *first = results + r * (loop->states + kept * steps) + loop->states + i;
            double *second = others + r * rest * steps + i;
            memcpy(in + r * width, next, loop->states * sizeof(double));
            for (ptrdiff_t k = 0; k < kept; k++)
                first[k * steps] = stored[k];
            for (ptrdiff_t k = 0; k < rest; k++)
                second[k * steps] = stored[kept + k];
        }
    }
    for (ptrdiff_t r = 0; r < n; r++)
        memcpy(results + r * (loop->states + kept * steps), in + r * width, loop->states * sizeof(double));
}

/* The shape of a loop of `program`; false and a ValueError if the layout is malformed. */
static bool read_shape(const Program *program, const Py_buffer *layout, LoopShape *loop) {
    const int32_t *head = layout->buf;
    const ptrdiff_t count = layout->len / 4;
    bool good = count >= LOOP_HEAD && (count - LOOP_HEAD) % LOOP_COLUMN == 0;
    for (int k = 0; good && k < LOOP_HEAD; k++)
        good = head[k] >= 0;
    if (good) {
        const ptrdiff_t columns = (count - LOOP_HEAD) / LOOP_COLUMN;
        *loop = (LoopShape){head[0], head[2], head[3], head[4], head[5], columns, head[1], head[6]};
        good = loop->kept <= loop->stored && program->captured == 0 && program->sums_count == 0 &&
               loop->states + loop->constants + loop->columns == program->inputs &&
               loop->states + loop->stored == program->results_count;
    }
    if (!good)
        PyErr_SetString(PyExc_ValueError, "loop: the layout does not fit the program");
    return good;
}

/* The columns of a loop; false and a ValueError if one lies outside its buffer. `tables` are `count` buffers. */
static bool read_columns(const LoopShape *loop, const int32_t *record, Py_ssize_t n, const Py_buffer *arguments,
                         const Py_buffer *tables, Py_ssize_t count, LoopColumn *columns) {
    for (ptrdiff_t k = 0; k < loop->columns; k++, record += LOOP_COLUMN) {
        const ptrdiff_t table = record[0], start = record[1], width = record[2];
        const bool shared = record[3];
        const Py_buffer *view = table < 0 ? arguments : table < count ? tables + table : NULL;
        if (!view || start < 0 || start + loop->steps > width ||
            (shared ? 1 : n) * width > view->len / (ptrdiff_t)sizeof(double)) {
            PyErr_Format(PyExc_ValueError, "loop: column %zd lies outside its buffer", (Py_ssize_t)k);
            return false;
        }
        columns[k] = (LoopColumn){(const double *)view->buf + start, shared ? 0 : width};
    }
    return true;
}

static PyObject *program_loop(PyProgram *self, PyObject *const *args, Py_ssize_t count) {
    Program *program = &self->program;
    if (count != 6)
        return PyErr_Format(PyExc_TypeError, "loop takes n, layout, arguments, tables, results and others, got %zd",
                            count);
    Py_ssize_t n = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (n < 1 || n > PY_SSIZE_T_MAX >> 32 || !PyTuple_Check(args[3]))
        return PyErr_Format(PyExc_ValueError, "loop: n is from 1 to %zd, and tables is a tuple", PY_SSIZE_T_MAX >> 32);
    const Py_ssize_t tables_count = PyTuple_Size(args[3]);
    Py_buffer *views = allocate(4 + tables_count, sizeof(Py_buffer));
    if (!views)
        return NULL;
    LoopShape loop;
    LoopColumn *columns = NULL;
    double *numbers = NULL;
    WorkspacePool *pool = NULL;
    int got = 0;
    static const char *names[] = {"layout", "arguments", "results", "others"};
    PyObject *objects[] = {args[1], args[2], args[4], args[5]};
    while (got < 4 && get_buffer(objects[got], names[got], got ? FLOATS : INTS, got > 1, views + got))
        got++;
    while (got >= 4 && got < 4 + tables_count &&
           get_buffer(PyTuple_GetItem(args[3], got - 4), "tables", FLOATS, false, views + got))
        got++;
    bool good = got == 4 + tables_count && read_shape(program, views, &loop);
    if (good) {
        const ptrdiff_t arguments = views[1].len / (ptrdiff_t)sizeof(double), pitch = arguments / n;
        good = has_length("arguments", arguments, n, pitch) &&
               has_length("results", views[2].len / sizeof(double), n, loop.states + loop.kept * loop.steps) &&
               has_length("others", views[3].len / sizeof(double), n, (loop.stored - loop.kept) * loop.steps);
        if (good && pitch < loop.states + loop.constants + loop.guarded) {
            PyErr_SetString(PyExc_ValueError, "loop: there are too few arguments");
            good = false;
        }
        good = good && (columns = allocate(loop.columns, sizeof(LoopColumn))) &&
               read_columns(&loop, (const int32_t *)views[0].buf + LOOP_HEAD, n, views + 1, views + 4, tables_count,
                            columns) &&
               (numbers = allocate(n * (program->inputs + program->results_count) + 1, sizeof(double)));
        if (good)
            pool = take_pool(self);
        if (pool) {
            Py_BEGIN_ALLOW_THREADS;
            if (!needs_loop(&loop, n, views[1].buf, pitch))
                memset(views[2].buf, 0, views[2].len), memset(views[3].buf, 0, views[3].len);
            else if (n == 1)
                run_loop_of_one(program, pool, &loop, views[1].buf, columns, numbers, views[2].buf, views[3].buf);
            else
                run_loop(program, pool, n, &loop, views[1].buf, pitch, columns, numbers, views[2].buf, views[3].buf);
            Py_END_ALLOW_THREADS;
            give_back(self, pool);
        }
        good = pool != NULL;
    }
    while (got)
        PyBuffer_Release(views + --got);
    PyMem_Free(views);
    PyMem_Free(columns);
    PyMem_Free(numbers);
    if (!good)
        return NULL;
    Py_RETURN_NONE;
}
