/* Program.call: one row from Python objects to Python objects, for a call of a compiled function on plain numbers.

   A *template* is a tree of exact lists, tuples and dicts. In it the type `float` stands for a number; every other leaf
   stands for itself. `read_numbers` takes the numbers out of an object of that structure, `build` makes an object of
   that structure from numbers. Included by kernel.c. */

typedef enum { FAILED = -1, MISMATCH, MATCH } Match;

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
    if (!PyList_CheckExact(template) || PyList_Size(template) != *shape)
        return false;
    for (Py_ssize_t i = 0; i < *shape; i++)
        if (!has_shape(PyList_GetItem(template, i), shape + 1, axes - 1))
            return false;
    return true;
}

/* Copy the numbers of a C-contiguous array of float64 that has the structure of `template`. */
static Match read_array(PyObject *template, PyObject *given, Reader *reader) {
    Py_buffer view;
    if (PyObject_GetBuffer(given, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
        PyErr_Clear();
        return MISMATCH;
    }
    bool same = view.format && !strcmp(view.format, "d") && view.ndim > 0 &&
                has_shape(template, view.shape, view.ndim) &&
                view.len / (Py_ssize_t)sizeof(double) <= reader->end - reader->next;
    if (same) {
        memcpy(reader->next, view.buf, view.len);
        reader->next += view.len / (Py_ssize_t)sizeof(double);
        reader->arrays = true;
    }
    PyBuffer_Release(&view);
    return same ? MATCH : MISMATCH;
}

static Match read_numbers(PyObject *template, PyObject *given, Reader *reader) {
    if (template == (PyObject *)&PyFloat_Type) {
        double x;
        if (PyFloat_Check(given)) {
            x = PyFloat_AsDouble(given);
        } else if (PyLong_Check(given)) {
            x = PyLong_AsDouble(given);
            if (x == -1 && PyErr_Occurred()) { /* larger than any float */
                PyErr_Clear();
                return MISMATCH;
            }
        } else {
            return MISMATCH;
        }
        if (reader->next == reader->end)
            return MISMATCH;
        *reader->next++ = x;
        return MATCH;
    }
    Match match = MATCH;
    if (is_sequence(template)) {
        if (Py_TYPE(given) == (PyTypeObject *)reader->array_type && PyList_CheckExact(template))
            return read_array(template, given, reader);
        const Py_ssize_t count = PyObject_Size(template);
        if (Py_TYPE(given) != Py_TYPE(template) || PyObject_Size(given) != count)
            return MISMATCH;
        for (Py_ssize_t i = 0; match == MATCH && i < count; i++) {
            PyObject *item = item_of(given, i);
            if (!item) {
                PyErr_Clear();
                return MISMATCH;
            }
            match = read_numbers(item_of(template, i), item, reader);
        }
        return match;
    }
    if (PyDict_CheckExact(template)) {
        if (!PyDict_CheckExact(given) || PyDict_Size(given) != PyDict_Size(template))
            return MISMATCH;
        Py_ssize_t here = 0, there = 0;
        PyObject *key, *branch, *given_key, *given_branch;
        while (match == MATCH && PyDict_Next(template, &here, &key, &branch)) {
            if (!PyDict_Next(given, &there, &given_key, &given_branch) || key != given_key)
                return MISMATCH; /* equal keys that are two objects are compared by the caller */
            match = read_numbers(branch, given_branch, reader);
        }
        return match;
    }
    if (template == given)
        return MATCH;
    if (PyUnicode_CheckExact(template) && PyUnicode_CheckExact(given)) {
        int same = PyUnicode_Compare(template, given);
        return PyErr_Occurred() ? FAILED : same == 0 ? MATCH : MISMATCH;
    }
    return MISMATCH;
}

/* An object of the structure of `template`, with the numbers from *next on. NULL and an exception if there are too few
   before `end`. */
static PyObject *build(PyObject *template, const double **next, const double *end) {
    if (template == (PyObject *)&PyFloat_Type) {
        if (*next < end)
            return PyFloat_FromDouble(*(*next)++);
        return PyErr_Format(PyExc_ValueError, "call: the results do not have the structure of their template");
    }
    if (is_sequence(template)) {
        const bool list = PyList_CheckExact(template);
        const Py_ssize_t count = PyObject_Size(template);
        PyObject *made = list ? PyList_New(count) : PyTuple_New(count);
        for (Py_ssize_t i = 0; made && i < count; i++) {
            PyObject *item = build(item_of(template, i), next, end);
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

enum { SMALL = 4096 }; /* addresses of a program that runs faster than a lock is released and taken again */

static PyObject *program_call(PyProgram *self, PyObject *const *args, Py_ssize_t count) {
    Program *program = &self->program;
    if (count != 5)
        return PyErr_Format(PyExc_TypeError, "call takes arguments, results, array_type, finish and args, got %zd",
                            count);
    if (program->captured || program->sums_count)
        return PyErr_Format(PyExc_ValueError, "call runs a program without captured numbers and sums");
    if (!PyType_Check(args[2]) && args[2] != Py_None)
        return PyErr_Format(PyExc_TypeError, "call: array_type is a type or None");
    const ptrdiff_t inputs = program->inputs, results = program->results_count;
    double local[64], *numbers = local;
    if (inputs + results > 64) {
        numbers = PyMem_Malloc((inputs + results) * sizeof(double));
        if (!numbers)
            return PyErr_NoMemory();
    }
    Reader reader = {numbers, numbers + inputs, args[2], false};
    PyObject *made = NULL;
    Match match = read_numbers(args[0], args[4], &reader);
    if (match == MATCH && reader.next != reader.end)
        match = MISMATCH;
    if (match == MISMATCH)
        made = Py_NewRef(Py_NotImplemented);
    if (match == MATCH) {
        WorkspacePool *pool = take_pool(self);
        if (pool) {
            Table in = {numbers, inputs}, out = {numbers + inputs, results};
            Tables in_table = {&in, 1}, out_table = {&out, 1};
            if (program->size < SMALL) {
                run(program, pool, 1, in_table, numbers, out_table, numbers);
            } else {
                Py_BEGIN_ALLOW_THREADS;
                run(program, pool, 1, in_table, numbers, out_table, numbers);
                Py_END_ALLOW_THREADS;
            }
            give_back(self, pool);
            const double *next = out.numbers, *end = next + results;
            if (reader.arrays && args[3] != Py_None) {
                PyObject *raw = PyByteArray_FromStringAndSize((const char *)next, results * sizeof(double));
                made = raw ? PyObject_CallFunctionObjArgs(args[3], raw, NULL) : NULL;
                Py_XDECREF(raw);
            } else if ((made = build(args[1], &next, end)) && next < end) {
                Py_CLEAR(made);
                PyErr_SetString(PyExc_ValueError, "call: the results do not have the structure of their template");
            }
        }
    }
    if (numbers != local)
        PyMem_Free(numbers);
    return made;
}
