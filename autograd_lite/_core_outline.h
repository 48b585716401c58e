/* Part of _core.c: which nodes of a graph can run together.
 *
 * compiler/schedule.py defines `outlined`; this file does the same faster.
 */

/* The attributes that nodes of one group have in common; followed by one byte for each kind, 1 for "in rows". */
typedef struct {
    Py_ssize_t stage, level;
    const Primitive *op;
    Py_ssize_t n;
} GroupKey;

enum { ONCE, EACH, TOTAL };

typedef struct {
    Py_ssize_t count;      /* of the nodes; the numbers of the constants follow theirs */
    Py_ssize_t *numbers;   /* of the nodes, by `index`; -1: no node */
    size_t n_numbers;
    PyObject *constants;   /* a list of floats */
    PyObject *of_constant; /* a dict: their numbers, by their bits */
} Numbering;

/* The number of the node x; -1 if it is not in the graph. */
static Py_ssize_t place_in(const Numbering *s, PyObject *x)
{
    Py_ssize_t index = is_numbered(x) ? ((Numbered *)x)->index : -1;
    return index < 0 || (size_t)index >= s->n_numbers ? -1 : s->numbers[index];
}

/* The number of a float or a node, as an int. */
static PyObject *number_in(Numbering *s, PyObject *x)
{
    if (!PyFloat_CheckExact(x)) {
        Py_ssize_t place = place_in(s, x);
        if (place < 0)
            return PyErr_Format(PyExc_ValueError, "%R is not a node of the graph", x);
        return PyLong_FromSsize_t(place);
    }
    PyObject *bits = PyLong_FromUnsignedLongLong(bits_of(PyFloat_AS_DOUBLE(x)));
    PyObject *number = bits ? PyDict_GetItemWithError(s->of_constant, bits) : NULL;
    if (number)
        Py_INCREF(number);
    else if (bits && !PyErr_Occurred()) {
        number = PyLong_FromSsize_t(s->count + PyList_GET_SIZE(s->constants));
        if (number && (PyList_Append(s->constants, x) < 0 || PyDict_SetItem(s->of_constant, bits, number) < 0))
            Py_CLEAR(number);
    }
    Py_XDECREF(bits);
    return number;
}

/* The numbers of floats and nodes, as a list. */
static PyObject *numbers_in(Numbering *s, PyObject *roots)
{
    PyObject *list = PyList_New(PyTuple_GET_SIZE(roots));
    for (Py_ssize_t i = 0; list && i < PyTuple_GET_SIZE(roots); i++) {
        PyObject *number = number_in(s, PyTuple_GET_ITEM(roots, i));
        if (number)
            PyList_SET_ITEM(list, i, number);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* (number, numbers of the arguments) of a node. */
static PyObject *job_of(Numbering *s, Node *z, Py_ssize_t number)
{
    PyObject *job = PyTuple_New(2), *args = PyTuple_New(z->n), *its = PyLong_FromSsize_t(number);
    int failed = !job || !args || !its;
    for (Py_ssize_t i = 0; !failed && i < z->n; i++) {
        PyObject *x = argument(z, i), *of_x = x ? number_in(s, x) : NULL;
        Py_XDECREF(x);
        failed = !of_x;
        if (of_x)
            PyTuple_SET_ITEM(args, i, of_x);
    }
    if (failed) {
        Py_XDECREF(job);
        Py_XDECREF(args);
        Py_XDECREF(its);
        return NULL;
    }
    PyTuple_SET_ITEM(job, 0, its);
    PyTuple_SET_ITEM(job, 1, args);
    return job;
}

/* The key of a group, as bytes: nodes with the same key can run together. */
static PyObject *key_of(Node *z, Py_ssize_t stage, Py_ssize_t level)
{
    Py_ssize_t n = z->n, represented[] = {n / 2, 1, n - 1};
    int is_dot = z->op == S.dot;
    Py_ssize_t kinds = is_dot ? 3 : z->op == S.sum && n > 2 ? 2 : n; /* the terms of a sum are all of one kind */
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)sizeof(GroupKey) + kinds);
    if (!key)
        return NULL;
    char *bytes = PyBytes_AS_STRING(key);
    GroupKey head = {stage, level, z->op, n};
    memcpy(bytes, &head, sizeof head);
    Slot *slots = slots_of(z);
    for (Py_ssize_t i = 0; i < kinds; i++) {
        Py_ssize_t k = is_dot ? represented[i] : i;
        bytes[sizeof head + (size_t)i] = !is_number(z, k) && ((Numbered *)slots[k].node)->row;
    }
    return key;
}

/* Append the node to its group in the list `groups`, a new one if `places` does not know its key. */
static int append_node(Numbering *s, Node *z, Py_ssize_t number, Py_ssize_t stage, Py_ssize_t level, PyObject *groups,
                       PyObject *places)
{
    PyObject *key = key_of(z, stage, level), *job = job_of(s, z, number);
    PyObject *jobs = key ? PyDict_GetItemWithError(places, key) : NULL, *group = NULL;
    int failed = !key || !job || (!jobs && PyErr_Occurred());
    if (!failed && !jobs) {
        jobs = PyList_New(0);
        group = jobs ? Py_BuildValue("nnOO", stage, level, z->op, jobs) : NULL;
        failed = !group || PyDict_SetItem(places, key, jobs) < 0 || PyList_Append(groups, group) < 0;
        Py_XDECREF(jobs); /* `group` holds it */
    }
    failed = failed || PyList_Append(jobs, job) < 0;
    Py_XDECREF(group);
    Py_XDECREF(key);
    Py_XDECREF(job);
    return failed ? -1 : 0;
}

/* Number the nodes of `order`. 1: done. 0: they come from several traces. -1: an error. */
static int number_nodes(Numbering *s, PyObject *order)
{
    Py_ssize_t largest = 0;
    s->count = PyTuple_GET_SIZE(order);
    for (Py_ssize_t i = 0; i < s->count; i++) {
        PyObject *x = PyTuple_GET_ITEM(order, i);
        if (!is_numbered(x)) {
            wrong_type("the nodes of a program are Symbols, got %U", x);
            return -1;
        }
        Py_ssize_t index = ((Numbered *)x)->index;
        if (index < 0)
            return 0;
        largest = index > largest ? index : largest;
    }
    s->n_numbers = (size_t)largest + 1;
    if (!(s->numbers = PyMem_Malloc(s->n_numbers * sizeof *s->numbers))) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < s->n_numbers; i++)
        s->numbers[i] = -1;
    for (Py_ssize_t i = 0; i < s->count; i++) {
        Py_ssize_t index = ((Numbered *)PyTuple_GET_ITEM(order, i))->index;
        if (s->numbers[index] >= 0)
            return 0;
        s->numbers[index] = i;
    }
    return 1;
}

/* For each node in `roots`, set marks[n], where n is the node's number. */
static int mark_roots(const Numbering *s, PyObject *roots, char *marks)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(roots); i++) {
        PyObject *x = PyTuple_GET_ITEM(roots, i);
        if (PyFloat_CheckExact(x))
            continue;
        Py_ssize_t place = place_in(s, x);
        if (place < 0) {
            PyErr_Format(PyExc_ValueError, "%R is not a node of the graph", x);
            return -1;
        }
        marks[place] = 1;
    }
    return 0;
}

/* Set read[n] for each node that is an argument, and the level of each node. */
static int find_levels(const Numbering *s, PyObject *order, char *read, Py_ssize_t *levels)
{
    for (Py_ssize_t i = 0; i < s->count; i++) {
        Node *z = (Node *)PyTuple_GET_ITEM(order, i);
        Slot *slots = slots_of(z);
        for (Py_ssize_t k = 0; k < z->n; k++) {
            if (is_number(z, k))
                continue;
            Py_ssize_t x = place_in(s, (PyObject *)slots[k].node);
            if (x < 0 || x >= i) {
                PyErr_SetString(PyExc_ValueError, "the order is not topological");
                return -1;
            }
            read[x] = 1;
            levels[i] = levels[x] >= levels[i] ? levels[x] + 1 : levels[i];
        }
    }
    return 0;
}

/* outlined(order, results, sums), as schedule.py has it; None if the nodes come from several traces. */
static PyObject *outlined(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 3)
        return PyErr_Format(PyExc_TypeError, "outlined takes an order, results and sums");
    Numbering s = {.constants = PyList_New(0), .of_constant = PyDict_New()};
    PyObject *order = PySequence_Tuple(args[0]), *results = NULL, *sums = NULL, *of_results = NULL, *of_sums = NULL;
    PyObject *groups = PyList_New(0), *places = PyDict_New(), *zero = PyFloat_FromDouble(-0.0), *outline = NULL;
    Py_ssize_t *levels = NULL;
    char *read = NULL, *summed; /* whether node i is an argument or a result; a sum */
    if (!s.constants || !s.of_constant || !order || !groups || !places || !zero ||
        !(results = PySequence_Tuple(args[1])) || !(sums = PySequence_Tuple(args[2])))
        goto done;
    int ours = number_nodes(&s, order);
    if (ours <= 0) {
        if (!ours)
            outline = Py_None, Py_INCREF(outline);
        goto done;
    }
    levels = PyMem_Calloc((size_t)s.count + 1, sizeof *levels);
    read = PyMem_Calloc(2 * (size_t)s.count + 1, 1);
    if (!levels || !read) {
        PyErr_NoMemory();
        goto done;
    }
    summed = read + s.count;
    PyObject *first = number_in(&s, zero);
    if (!first)
        goto done;
    Py_DECREF(first);
    if (find_levels(&s, order, read, levels) < 0 || mark_roots(&s, results, read) < 0 ||
        mark_roots(&s, sums, summed) < 0)
        goto done;
    for (Py_ssize_t i = 0; i < s.count; i++) {
        Node *z = (Node *)PyTuple_GET_ITEM(order, i);
        if (!z->op)
            continue;
        Py_ssize_t stage = !((Numbered *)z)->row ? ONCE : summed[i] && !read[i] ? TOTAL : EACH;
        if (append_node(&s, z, i, stage, levels[i], groups, places) < 0)
            goto done;
        if ((i + 1) % SIGNALS_EVERY == 0 && PyErr_CheckSignals() < 0)
            goto done;
    }
    if ((of_results = numbers_in(&s, results)) && (of_sums = numbers_in(&s, sums)))
        outline = PyTuple_Pack(4, s.constants, of_results, of_sums, groups);
done:
    Py_XDECREF(s.constants);
    Py_XDECREF(s.of_constant);
    Py_XDECREF(order);
    Py_XDECREF(results);
    Py_XDECREF(sums);
    Py_XDECREF(of_results);
    Py_XDECREF(of_sums);
    Py_XDECREF(groups);
    Py_XDECREF(places);
    Py_XDECREF(zero);
    PyMem_Free(s.numbers);
    PyMem_Free(levels);
    PyMem_Free(read);
    return outline;
}
