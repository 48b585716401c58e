/* Program.call: one row from Python objects to Python objects, for a call of a compiled function on plain numbers.

   A *template* is a tree of exact lists, tuples and dicts. In it the type `float` stands for a number, and a bytearray
   of length n for a list of n numbers; every other leaf stands for itself. `read_numbers` takes the numbers out of an
   object of that structure, `build` makes an object of that structure from numbers. Included by kernel.c. */

typedef struct {
    double *next, *end;
    PyObject *array_type; /* numpy.ndarray, or None */
    bool arrays;          /* an array was read */
} Reader;

static bool is_sequence(PyObject *x) {
    return PyList_CheckExact(x) || PyTuple_CheckExact(x);
}

/* Item `i` of a list or tuple, borrowed. NULL and an exception if a list was made shorter meanwhile. */
static PyObject *item_of(PyObject *sequence, Py_ssize_t i) {
    return PyList_CheckExact(sequence) ? PyList_GetItem(sequence, i) : PyTuple_GetItem(sequence, i);
}

/* Whether `template` is made of lists of the lengths `shape`, with numbers at its leaves. */
static bool has_shape(PyObject *template, const Py_ssize_t *shape, int axes) {
    if (axes == 0)
        return template == (PyObject *)&PyFloat_Type;
    if (PyByteArray_CheckExact(template))
        return axes == 1 && PyByteArray_Size(template) == *shape;
    if (!PyList_CheckExact(template) || PyList_Size(template) != *shape)
        return false;
    for (Py_ssize_t i = 0; i < *shape; i++)
        if (!has_shape(PyList_GetItem(template, i), shape + 1, axes - 1))
            return false;
    return true;
}

/* Copy the numbers of an array of float64 that has the structure of `template`; false if it has another one. */
static bool read_array(PyObject *template, PyObject *given, Reader *reader) {
    Py_buffer view;
    if (PyObject_GetBuffer(given, &view, PyBUF_FORMAT | PyBUF_STRIDES) < 0)
        return false;
    const ptrdiff_t count = view.len / (ptrdiff_t)sizeof(double);
    bool same = view.format && !strcmp(view.format, "d") && view.ndim > 0 &&
                has_shape(template, view.shape, view.ndim) && count <= reader->end - reader->next &&
                PyBuffer_ToContiguous(reader->next, &view, view.len, 'C') == 0;
    reader->next += same ? count : 0;
    reader->arrays |= same;
    PyBuffer_Release(&view);
    return same;
}

/* Convert a float or an int, or one of a subclass. False for any other object, and for an int larger than any float. */
static inline bool read_number(PyObject *given, double *x) {
    if (!PyFloat_Check(given) && !PyLong_Check(given))
        return false;
    *x = PyFloat_Check(given) ? PyFloat_AsDouble(given) : PyLong_AsDouble(given);
    return *x != -1 || !PyErr_Occurred();
}

/* Take the numbers of a list of `count` numbers, or of an array. */
static bool read_list(PyObject *template, PyObject *given, Py_ssize_t count, Reader *reader) {
    if (Py_TYPE(given) == (PyTypeObject *)reader->array_type)
        return read_array(template, given, reader);
    if (!PyList_CheckExact(given) || PyList_Size(given) != count || reader->end - reader->next < count)
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(given, i);
        if (!item || !read_number(item, reader->next++))
            return false;
    }
    return true;
}

/* Take the numbers out of `given`. False if it does not have the structure of `template`; the caller clears the
   exception that there may be. */
static bool read_numbers(PyObject *template, PyObject *given, Reader *reader) {
    if (template == (PyObject *)&PyFloat_Type)
        return reader->next < reader->end && read_number(given, reader->next++);
    if (PyByteArray_CheckExact(template))
        return read_list(template, given, PyByteArray_Size(template), reader);
    if (is_sequence(template)) {
        if (Py_TYPE(given) == (PyTypeObject *)reader->array_type && PyList_CheckExact(template))
            return read_array(template, given, reader);
        const Py_ssize_t count = PyObject_Size(template);
        if (Py_TYPE(given) != Py_TYPE(template) || PyObject_Size(given) != count)
            return false;
        for (Py_ssize_t i = 0; i < count; i++) {
            PyObject *item = item_of(given, i);
            if (!item || !read_numbers(item_of(template, i), item, reader))
                return false;
        }
        return true;
    }
    if (PyDict_CheckExact(template)) {
        if (!PyDict_CheckExact(given) || PyDict_Size(given) != PyDict_Size(template))
            return false;
        Py_ssize_t here = 0, there = 0;
        PyObject *key, *branch, *given_key, *given_branch;
        while (PyDict_Next(template, &here, &key, &branch)) /* the caller compares equal keys that are two objects */
            if (!PyDict_Next(given, &there, &given_key, &given_branch) || key != given_key ||
                !read_numbers(branch, given_branch, reader))
                return false;
        return true;
    }
    return template == given || (PyUnicode_CheckExact(template) && PyUnicode_CheckExact(given) &&
                                 PyUnicode_Compare(template, given) == 0);
}

/* An object of the structure of `template`, with the numbers from *next on. NULL and an exception if there are too few
   before `end`. */
static PyObject *build(PyObject *template, const double **next, const double *end) {
    if (template == (PyObject *)&PyFloat_Type) {
        if (*next < end)
            return PyFloat_FromDouble(*(*next)++);
        return PyErr_Format(PyExc_ValueError, "call: the results do not have the structure of their template");
    }
    const bool plain = PyByteArray_CheckExact(template); /* a list of numbers */
    if (plain || is_sequence(template)) {
        const bool list = plain || PyList_CheckExact(template);
        const Py_ssize_t count = PyObject_Size(template);
        PyObject *made = list ? PyList_New(count) : PyTuple_New(count);
        for (Py_ssize_t i = 0; made && i < count; i++) {
            PyObject *item = build(plain ? (PyObject *)&PyFloat_Type : item_of(template, i), next, end);
            if (!item || (list ? PyList_SetItem : PyTuple_SetItem)(made, i, item) < 0)
                Py_CLEAR(made);
        }
        return made;
    }
    if (PyDict_CheckExact(template)) {
        PyObject *made = PyDict_New(), *key, *branch;
        Py_ssize_t here = 0;
        while (made && PyDict_Next(template, &here, &key, &branch)) {
            PyObject *item = build(branch, next, end);
            if (!item || PyDict_SetItem(made, key, item) < 0)
                Py_CLEAR(made);
            Py_XDECREF(item);
        }
        return made;
    }
    return Py_NewRef(template);
}

enum { SMALL = 4096 }; /* a program of fewer addresses keeps the GIL: it is short, and taking the GIL again may wait */

/* Run the program, after the stages of its pipeline if it has one, on one row; false and a MemoryError if there is no
   memory. */
static bool run_on_row(PyProgram *self, double *row, double *results) {
    const Program *program = &self->program;
    if (self->pipeline)
        return run_pipeline(self->pipeline, row, results);
    WorkspacePool *pool = take_pool(self);
    if (!pool)
        return false;
    Table in = {row, program->inputs}, out = {results, program->results_count};
    const Tables inputs = {&in, 1}, outputs = {&out, 1};
    PyThreadState *thread = program->size < SMALL ? NULL : PyEval_SaveThread();
    run(program, pool, 1, inputs, row, outputs, row);
    if (thread)
        PyEval_RestoreThread(thread);
    give_back(self, pool);
    return true;
}

static PyObject *program_call(PyProgram *self, PyObject *const *args, Py_ssize_t count) {
    const Program *program = &self->program;
    if (count != 5)
        return PyErr_Format(PyExc_TypeError, "call takes arguments, results, array_type, finish and args, got %zd",
                            count);
    if (!self->pipeline && (program->captured || program->sums_count))
        return PyErr_Format(PyExc_ValueError, "call runs a program without captured numbers and sums");
    if (!PyType_Check(args[2]) && args[2] != Py_None)
        return PyErr_Format(PyExc_TypeError, "call: array_type is a type or None");
    const ptrdiff_t inputs = self->pipeline ? self->pipeline->inputs : program->inputs;
    const ptrdiff_t results = program->results_count;
    double local[64], *numbers = local;
    if (inputs + results > 64 && !(numbers = PyMem_Malloc((inputs + results) * sizeof(double))))
        return PyErr_NoMemory();
    Reader reader = {numbers, numbers + inputs, args[2], false};
    PyObject *made = NULL, *raw = NULL;
    const bool matches = read_numbers(args[0], args[4], &reader) && reader.next == reader.end;
    const bool as_bytes = reader.arrays && args[3] != Py_None;
    if (!matches) {
        PyErr_Clear();
        made = Py_NewRef(Py_NotImplemented);
    } else if (!as_bytes || (raw = PyByteArray_FromStringAndSize(NULL, results * sizeof(double)))) {
        double *found = raw ? (double *)PyByteArray_AsString(raw) : numbers + inputs;
        const double *next = found, *end = found + results;
        const bool ran = run_on_row(self, numbers, found);
        if (ran && raw) {
            made = PyObject_CallFunctionObjArgs(args[3], raw, NULL);
        } else if (ran && (made = build(args[1], &next, end)) && next < end) {
            Py_CLEAR(made);
            PyErr_SetString(PyExc_ValueError, "call: the results do not have the structure of their template");
        }
    }
    Py_XDECREF(raw);
    if (numbers != local)
        PyMem_Free(numbers);
    return made;
}
