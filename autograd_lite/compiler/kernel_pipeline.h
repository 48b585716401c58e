/* Program.follow: loops that run before a program, on one row and without Python in between. Included by kernel.c.

   A stage is a program, which computes the arguments of a loop, and the loop. Stage s leaves the tables 2s, which the
   programs after it may read, and 2s + 1, which only loops read (see LoopPlan in pipeline.py). A program reads the row
   of the call and tables that depend on the row as inputs, and tables that do not, which are *shared*, as captured
   numbers. */

/* A program in a pipeline, with the numbers of the tables that it reads. It does not read the row if it is `shared`. */
typedef struct {
    PyProgram *program;
    ptrdiff_t count, *reads;
    bool shared;
} Part;

typedef struct {
    Part part;
    PyProgram *body;
    LoopShape loop;
    int32_t *columns;       /* records of LOOP_COLUMN numbers, with -1 for the arguments or the number of a table */
    ptrdiff_t widths[2];    /* of its tables */
    ptrdiff_t at, found[2]; /* where its arguments and its tables are in the memory of a call */
} Stage;

typedef struct Pipeline {
    ptrdiff_t inputs, count, captured, next, reads, columns; /* the last four are the largest numbers of a part */
    ptrdiff_t size; /* of PipelineMemory.numbers, without `captured` and `next` */
    Stage *stages;
    Part last; /* its program is borrowed: it owns the pipeline */
} Pipeline;

/* --- Running ------------------------------------------------------------------------------------------------------ */

/* The memory of a call. */
typedef struct {
    double *numbers, *captured, *next;
    Table *tables;
    LoopColumn *columns;
    WorkspacePool **pools; /* of the program and of the body of each stage, then of the last program */
} PipelineMemory;

static double *table_at(const Pipeline *pipeline, const PipelineMemory *memory, ptrdiff_t table) {
    return memory->numbers + pipeline->stages[table / 2].found[table % 2];
}

static void run_part(const Pipeline *pipeline, const Part *part, const PipelineMemory *memory, WorkspacePool *pool,
                     const double *row, double *results) {
    double *captured = memory->captured;
    Tables inputs = {memory->tables, 0};
    if (!part->shared)
        inputs.tables[inputs.count++] = (Table){(double *)row, pipeline->inputs};
    for (ptrdiff_t k = 0; k < part->count; k++) {
        const Stage *from = pipeline->stages + part->reads[k] / 2;
        const Table table = {table_at(pipeline, memory, part->reads[k]), from->widths[part->reads[k] % 2]};
        if (from->part.shared) {
            memcpy(captured, table.numbers, table.width * sizeof(double));
            captured += table.width;
        } else {
            inputs.tables[inputs.count++] = table;
        }
    }
    Table found = {results, part->program->program.results_count};
    run(&part->program->program, pool, 1, inputs, memory->captured, (Tables){&found, 1}, memory->captured);
}

/* Run all on one row. Does not touch Python. */
static void run_parts(const Pipeline *pipeline, const PipelineMemory *memory, const double *row, double *results) {
    for (ptrdiff_t s = 0; s < pipeline->count; s++) {
        const Stage *stage = pipeline->stages + s;
        double *arguments = memory->numbers + stage->at;
        run_part(pipeline, &stage->part, memory, memory->pools[2 * s], row, arguments);
        if (!needs_loop(&stage->loop, 1, arguments, stage->part.program->program.results_count)) {
            memset(table_at(pipeline, memory, 2 * s), 0, (stage->widths[0] + stage->widths[1]) * sizeof(double));
            continue;
        }
        for (ptrdiff_t k = 0; k < stage->loop.columns; k++) {
            const int32_t *record = stage->columns + k * LOOP_COLUMN;
            const double *table = record[0] < 0 ? arguments : table_at(pipeline, memory, record[0]);
            memory->columns[k] = (LoopColumn){table + record[1], 0};
        }
        run_loop_of_one(&stage->body->program, memory->pools[2 * s + 1], &stage->loop, arguments, memory->columns,
                        memory->next, table_at(pipeline, memory, 2 * s), table_at(pipeline, memory, 2 * s + 1));
    }
    run_part(pipeline, &pipeline->last, memory, memory->pools[2 * pipeline->count], row, results);
}

/* Program n of the pipeline: that of stage n / 2, or its body; the last one of all. */
static PyProgram *program_at(const Pipeline *pipeline, ptrdiff_t n) {
    const Stage *stage = pipeline->stages + n / 2;
    return n == 2 * pipeline->count ? pipeline->last.program : n % 2 ? stage->body : stage->part.program;
}

/* Run all on one row; false and a MemoryError if there is no memory. */
static bool run_pipeline(const Pipeline *pipeline, const double *row, double *results) {
    const ptrdiff_t programs = 2 * pipeline->count + 1;
    ptrdiff_t ready = 0;
    PipelineMemory memory = {
        .numbers = PyMem_Malloc((pipeline->size + pipeline->captured + pipeline->next + 1) * sizeof(double)),
        .tables = allocate(pipeline->reads + 1, sizeof(Table)),
        .columns = allocate(pipeline->columns, sizeof(LoopColumn)),
        .pools = allocate(programs, sizeof(WorkspacePool *)),
    };
    if (!memory.numbers) {
        PyErr_NoMemory();
    } else if (memory.tables && memory.columns && memory.pools) {
        memory.captured = memory.numbers + pipeline->size;
        memory.next = memory.captured + pipeline->captured;
        while (ready < programs && (memory.pools[ready] = take_pool(program_at(pipeline, ready))))
            ready++;
    }
    if (ready == programs) {
        Py_BEGIN_ALLOW_THREADS;
        run_parts(pipeline, &memory, row, results);
        Py_END_ALLOW_THREADS;
    }
    for (ptrdiff_t n = 0; n < ready; n++)
        give_back(program_at(pipeline, n), memory.pools[n]);
    PyMem_Free(memory.numbers);
    PyMem_Free(memory.tables);
    PyMem_Free(memory.columns);
    PyMem_Free(memory.pools);
    return ready == programs;
}

/* --- Loading ------------------------------------------------------------------------------------------------------ */

static void free_pipeline(Pipeline *pipeline) {
    for (ptrdiff_t s = 0; s < pipeline->count; s++) {
        Stage *stage = pipeline->stages + s;
        Py_XDECREF((PyObject *)stage->part.program);
        Py_XDECREF((PyObject *)stage->body);
        PyMem_Free(stage->part.reads);
        PyMem_Free(stage->columns);
    }
    PyMem_Free(pipeline->last.reads);
    PyMem_Free(pipeline->stages);
    PyMem_Free(pipeline);
}

static void raise_to(ptrdiff_t *most, ptrdiff_t n) {
    *most = n > *most ? n : *most;
}

/* Read the tables that the program of stage `s` reads; false and an exception if they do not fit. */
static bool read_part(Pipeline *pipeline, ptrdiff_t s, PyObject *reads, Part *part) {
    Py_buffer view;
    if (!get_buffer(reads, "reads", INTS, false, &view))
        return false;
    const int32_t *tables = view.buf;
    const Program *program = &part->program->program;
    const ptrdiff_t count = view.len / 4;
    ptrdiff_t inputs = part->shared ? 0 : pipeline->inputs, captured = 0;
    bool good = (part->reads = allocate(count, sizeof(ptrdiff_t)));
    for (; good && part->count < count; part->count++) {
        const int32_t table = tables[part->count];
        if (table < 0 || table >= 2 * s) {
            good = malformed("a table that is not there yet, in stage", s);
        } else {
            const Stage *from = pipeline->stages + table / 2;
            *(from->part.shared ? &captured : &inputs) += from->widths[table % 2];
            part->reads[part->count] = table;
        }
    }
    PyBuffer_Release(&view);
    if (good && (program->inputs != inputs || program->captured != captured || program->sums_count))
        good = malformed("the numbers that the program reads, in stage", s);
    raise_to(&pipeline->reads, count);
    raise_to(&pipeline->captured, captured);
    return good;
}

/* Read a stage from (program, reads, shared, body, layout); false and an exception if its parts do not fit. `type` is
   Program. */
static bool read_stage(Pipeline *pipeline, ptrdiff_t s, PyObject *given, PyTypeObject *type) {
    Stage *stage = pipeline->stages + s;
    PyObject *program, *reads, *body, *layout;
    int shared;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "follow: a stage is a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(given, "O!OpO!O", type, &program, &reads, &shared, type, &body, &layout))
        return false;
    stage->part.program = (PyProgram *)Py_NewRef(program);
    stage->body = (PyProgram *)Py_NewRef(body);
    stage->part.shared = shared;
    Py_buffer view;
    if (!read_part(pipeline, s, reads, &stage->part) || !get_buffer(layout, "layout", INTS, false, &view))
        return false;
    LoopShape *loop = &stage->loop;
    const ptrdiff_t arguments = stage->part.program->program.results_count;
    bool good = read_shape(&stage->body->program, &view, loop);
    if (good && (loop->states + loop->constants + loop->guarded > arguments ||
                 loop->stored > (PY_SSIZE_T_MAX / 64 - loop->states) / (loop->steps + 1)))
        good = malformed("the arguments of the loop, in stage", s);
    const ptrdiff_t size = loop->columns * LOOP_COLUMN;
    good = good && (stage->columns = allocate(size, sizeof(int32_t)));
    if (good)
        memcpy(stage->columns, (const int32_t *)view.buf + LOOP_HEAD, size * sizeof(int32_t));
    PyBuffer_Release(&view);
    for (const int32_t *record = stage->columns, *end = record + size; good && record < end; record += LOOP_COLUMN) {
        const ptrdiff_t table = record[0], start = record[1];
        const ptrdiff_t width = table < 0       ? arguments
                                : table < 2 * s ? pipeline->stages[table / 2].widths[table % 2]
                                                : -1;
        if (start < 0 || start > width || loop->steps > width - start)
            good = malformed("a column outside its table, in stage", s);
    }
    if (!good)
        return false;
    stage->widths[0] = loop->states + loop->kept * loop->steps;
    stage->widths[1] = (loop->stored - loop->kept) * loop->steps;
    stage->at = pipeline->size;
    stage->found[0] = stage->at + arguments;
    stage->found[1] = stage->found[0] + stage->widths[0];
    pipeline->size = stage->found[1] + stage->widths[1];
    raise_to(&pipeline->next, loop->states);
    raise_to(&pipeline->columns, loop->columns);
    if (pipeline->size > PY_SSIZE_T_MAX / 64)
        return malformed("the size of the tables up to stage", s);
    return true;
}

static PyObject *program_follow(PyProgram *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "follow takes inputs, stages and reads, got %zd arguments", count);
    const Py_ssize_t inputs = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (inputs == -1 && PyErr_Occurred())
        return NULL;
    if (inputs < 0 || !PyTuple_Check(args[1]) || self->pipeline)
        return PyErr_Format(PyExc_ValueError, "follow: inputs is at least 0, stages is a tuple, and it is called once");
    Pipeline *pipeline = allocate(1, sizeof(Pipeline));
    const Py_ssize_t stages = PyTuple_Size(args[1]);
    if (!pipeline || !(pipeline->stages = allocate(stages, sizeof(Stage)))) {
        PyMem_Free(pipeline);
        return NULL;
    }
    pipeline->inputs = inputs;
    pipeline->last.program = self;
    bool good = true;
    while (good && pipeline->count < stages) {
        const ptrdiff_t s = pipeline->count++;
        good = read_stage(pipeline, s, PyTuple_GetItem(args[1], s), Py_TYPE((PyObject *)self));
    }
    if (!good || !read_part(pipeline, stages, args[2], &pipeline->last)) {
        free_pipeline(pipeline);
        return NULL;
    }
    self->pipeline = pipeline;
    Py_RETURN_NONE;
}
