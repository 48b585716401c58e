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
    if (PyList_CheckExact(template)) {
        if (!PyList_CheckExact(given))
            return Py_TYPE(given) == (PyTypeObject *)reader->array_type ? read_array(template, given, reader)
                                                                        : MISMATCH;
        Py_ssize_t count = PyList_Size(template);
        if (PyList_Size(given) != count)
            return MISMATCH;
        for (Py_ssize_t i = 0; match == MATCH && i < count; i++) {
            PyObject *item = PyList_GetItem(given, i);
            if (!item) { /* the list was made shorter meanwhile */
                PyErr_Clear();
                return MISMATCH;
            }
            match = read_numbers(PyList_GetItem(template, i), item, reader);
        }
        return match;
    }
    if (PyTuple_CheckExact(template)) {
        Py_ssize_t count = PyTuple_Size(template);
        if (!PyTuple_CheckExact(given) || PyTuple_Size(given) != count)
            return MISMATCH;
        for (Py_ssize_t i = 0; match == MATCH && i < count; i++)
            match = read_numbers(PyTuple_GetItem(template, i), PyTuple_GetItem(given, i), reader);
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

/* An object of the structure of `template`, with the numbers from *next on. */
static PyObject *build(PyObject *template, const double **next) {
    if (template == (PyObject *)&PyFloat_Type)
        return PyFloat_FromDouble(*(*next)++);
    if (PyList_CheckExact(template)) {
        Py_ssize_t count = PyList_Size(template);
        PyObject *made = PyList_New(count);
        for (Py_ssize_t i = 0; made && i < count; i++) {
            PyObject *item = build(PyList_GetItem(template, i), next);
            if (!item || PyList_SetItem(made, i, item) < 0)
                Py_CLEAR(made);
        }
        return made;
    }
    if (PyTuple_CheckExact(template)) {
        Py_ssize_t count = PyTuple_Size(template);
        PyObject *made = PyTuple_New(count);
        for (Py_ssize_t i = 0; made && i < count; i++) {
            PyObject *item = build(PyTuple_GetItem(template, i), next);
            if (!item || PyTuple_SetItem(made, i, item) < 0)
                Py_CLEAR(made);
        }
        return made;
    }
    if (PyDict_CheckExact(template)) {
        PyObject *made = PyDict_New(), *key, *branch;
        Py_ssize_t here = 0;
        while (made && PyDict_Next(template, &here, &key, &branch)) {
            PyObject *item = build(branch, next);
            if (!item || PyDict_SetItem(made, key, item) < 0)
                Py_CLEAR(made);
            Py_XDECREF(item);
        }
        return made;
    }
    return Py_NewRef(template);
}

/* How many numbers a template stands for. */
static Py_ssize_t count_numbers(PyObject *template) {
    Py_ssize_t count = 0, here = 0;
    PyObject *key, *branch;
    if (template == (PyObject *)&PyFloat_Type)
        return 1;
    if (PyList_CheckExact(template))
        for (Py_ssize_t i = 0; i < PyList_Size(template); i++)
            count += count_numbers(PyList_GetItem(template, i));
    else if (PyTuple_CheckExact(template))
        for (Py_ssize_t i = 0; i < PyTuple_Size(template); i++)
            count += count_numbers(PyTuple_GetItem(template, i));
    else if (PyDict_CheckExact(template))
        while (PyDict_Next(template, &here, &key, &branch))
            count += count_numbers(branch);
    return count;
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
        WorkspacePool *pool = self->idle;
        if (pool)
            self->idle = pool->next;
        else
            pool = make_pool(program);
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
            pool->next = self->idle;
            self->idle = pool;
            const double *next = out.numbers;
            if (reader.arrays && args[3] != Py_None) {
                PyObject *raw = PyByteArray_FromStringAndSize((const char *)next, results * sizeof(double));
                made = raw ? PyObject_CallFunctionObjArgs(args[3], raw, NULL) : NULL;
                Py_XDECREF(raw);
            } else if (count_numbers(args[1]) == results) {
                made = build(args[1], &next);
            } else {
                PyErr_SetString(PyExc_ValueError, "call: the results do not have the structure of their template");
            }
        }
    }
    if (numbers != local)
        PyMem_Free(numbers);
    return made;
}
