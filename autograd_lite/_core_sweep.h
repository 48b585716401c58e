/* Part of _core.c: the inner steps of the sweeps of calculus.py, where the same functions are written in Python. */

/* sum_of_products([x0, y0, x1, y1, ...]) */
static PyObject *sum_of_products(PyObject *module, PyObject *factors)
{
    (void)module;
    if (!PyList_CheckExact(factors) || PyList_GET_SIZE(factors) % 2)
        return PyErr_Format(PyExc_TypeError, "sum_of_products takes a list of pairs");
    const Py_ssize_t n = PyList_GET_SIZE(factors) / 2;
    int plain = 1; /* every second factor is 1.0 */
    for (Py_ssize_t i = 0; plain && i < n; i++)
        plain = is_one(PyList_GET_ITEM(factors, 2 * i + 1));
    if (n == 0)
        return PyFloat_FromDouble(0.0);
    if (n == 1 && (plain || is_one(PyList_GET_ITEM(factors, 0)))) {
        PyObject *z = PyList_GET_ITEM(factors, plain ? 0 : 1);
        Py_INCREF(z);
        return z;
    }
    const Py_ssize_t count = plain ? n : 2 * n;
    PyObject *small[8], **args = count > 8 ? PyMem_Malloc((size_t)count * sizeof *args) : small, *z;
    if (!args)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        args[i] = PyList_GET_ITEM(factors, i < n ? 2 * i : 2 * (i - n) + 1);
        Py_INCREF(args[i]);
    }
    if (n == 1)
        z = PyNumber_Multiply(args[0], args[1]);
    else
        z = PyObject_Vectorcall((PyObject *)(plain ? S.sum : S.dot), args, (size_t)count, NULL);
    for (Py_ssize_t i = 0; i < count; i++)
        Py_DECREF(args[i]);
    if (args != small)
        PyMem_Free(args);
    return z;
}

/* Append x and y, or `passed(x, y)` and y unless that is None, to the list at `key` of a dict of lists. */
static int append_pair(PyObject *lists, PyObject *key, PyObject *x, PyObject *y, PyObject *passed)
{
    PyObject *list = PyDict_GetItemWithError(lists, key), *made = NULL;
    if (!list) {
        if (PyErr_Occurred() || !(made = PyList_New(0)) || PyDict_SetItem(lists, key, made) < 0) {
            Py_XDECREF(made);
            return -1;
        }
        Py_DECREF(made); /* the dict keeps it */
        list = made;
    }
    if (!PyList_CheckExact(list)) {
        PyErr_SetString(PyExc_TypeError, "a dict of lists is needed");
        return -1;
    }
    PyObject *first = passed == Py_None ? Py_NewRef(x) : PyObject_CallFunctionObjArgs(passed, x, y, NULL);
    const int failed = !first || PyList_Append(list, first) < 0 || PyList_Append(list, y) < 0;
    Py_XDECREF(first);
    return failed ? -1 : 0;
}

/* tangents_of(args, partials, tangents, passed) */
static PyObject *tangents_of(PyObject *module, PyObject *const *given, Py_ssize_t n)
{
    (void)module;
    if (n != 4 || !PyTuple_Check(given[0]) || !PyTuple_Check(given[1]) || !PyDict_Check(given[2]))
        return PyErr_Format(PyExc_TypeError, "tangents_of takes args, partials, tangents and passed");
    PyObject *args = given[0], *partials = given[1], *factors = PyDict_New(), *made = PyDict_New(), *key, *x;
    Py_ssize_t at = 0, count = PyTuple_GET_SIZE(args);
    int failed = !factors || !made;
    if (PyTuple_GET_SIZE(partials) != count) {
        PyErr_Format(PyExc_ValueError, "there are %zd partials for %zd arguments", PyTuple_GET_SIZE(partials), count);
        failed = 1;
    }
    for (Py_ssize_t i = 0; !failed && i < count; i++) {
        PyObject *dx = PyTuple_GET_ITEM(partials, i);
        if (dx == Py_None || PyFloat_CheckExact(PyTuple_GET_ITEM(args, i)))
            continue;
        PyObject *tangents = PyDict_GetItemWithError(given[2], PyTuple_GET_ITEM(args, i));
        if (tangents && !PyDict_Check(tangents))
            PyErr_SetString(PyExc_TypeError, "tangents is a dict of dicts");
        failed = PyErr_Occurred() != NULL;
        for (at = 0; !failed && tangents && PyDict_Next(tangents, &at, &key, &x);)
            failed = append_pair(factors, key, x, dx, given[3]) < 0;
    }
    for (at = 0; !failed && PyDict_Next(factors, &at, &key, &x);) {
        PyObject *sum = sum_of_products(NULL, x);
        failed = !sum || PyDict_SetItem(made, key, sum) < 0;
        Py_XDECREF(sum);
    }
    Py_XDECREF(factors);
    if (failed)
        Py_CLEAR(made);
    return made;
}

/* add_products(pairs, active, g, args, partials, passed) */
static PyObject *add_products(PyObject *module, PyObject *const *given, Py_ssize_t n)
{
    (void)module;
    if (n != 6 || !PyDict_Check(given[0]) || !PyAnySet_Check(given[1]) || !PyTuple_Check(given[3]) ||
        !PyTuple_Check(given[4]))
        return PyErr_Format(PyExc_TypeError, "add_products takes pairs, active, g, args, partials and passed");
    PyObject *args = given[3], *partials = given[4];
    const Py_ssize_t count = PyTuple_GET_SIZE(args);
    if (PyTuple_GET_SIZE(partials) != count)
        return PyErr_Format(PyExc_TypeError, "a rule gives one partial for each argument: %zd, got %zd", count,
                            PyTuple_GET_SIZE(partials));
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *x = PyTuple_GET_ITEM(args, i), *dx = PyTuple_GET_ITEM(partials, i);
        if (dx == Py_None || PyFloat_CheckExact(x))
            continue;
        const int flows = PySet_Contains(given[1], x);
        if (flows < 0 || (flows && append_pair(given[0], x, given[2], dx, given[5]) < 0))
            return NULL;
    }
    Py_RETURN_NONE;
}
