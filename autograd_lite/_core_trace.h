/* Part of _core.c: how a trace records an operation.
 *
 * compiler/trace.py defines `Numbered` and `Operations`; this file does the same faster, and both record the same
 * graph. The rewriting rules are Python functions (compiler/rewrite.py). A rule says which numbers and which primitives
 * it looks for among the operands, and is called only where one of them is there.
 */

/* A node of a trace. It has no number: `data` and `grad` are properties of Symbol, which raise an error. */
typedef struct {
    Node node;
    Py_ssize_t index; /* counts the nodes of a trace */
    char row;         /* 1: its number depends on the row of the batch */
} Numbered;

/* A set of nodes in which each operation on the same operands occurs once: a hash table with open addressing. */
typedef struct Table {
    Numbered **known;
    size_t capacity, used; /* `capacity` is 0 or a power of two; at most half of it is used */
    struct Table *aside; /* the table that was set aside for this one; NULL: none */
} Table;

typedef struct {
    PyObject_HEAD
    Py_ssize_t made; /* the index of the newest node */
    Table table;
} Operations;

/* What a rewriting rule looks for among the operands of its primitive. */
struct Rewriting {
    PyObject *rule;
    int any; /* 1: the rule is always called */
    Py_ssize_t n_numbers, n_primitives;
    double *numbers;
    Primitive **primitives;
};

static PyTypeObject *NumberedType, *OperationsType;

/* The classes and rules that Python gave to `connect_trace`. */
static struct {
    PyTypeObject *symbol, *trace, *call;
    PyObject *str_operand, *str_constant;
} T;

static inline int is_numbered(PyObject *x)
{
    return Py_TYPE(x) == T.symbol || PyType_IsSubtype(Py_TYPE(x), NumberedType);
}

static void free_rewriting(struct Rewriting *r)
{
    if (!r)
        return;
    for (Py_ssize_t i = 0; i < r->n_primitives; i++)
        Py_DECREF(r->primitives[i]);
    Py_XDECREF(r->rule);
    PyMem_Free(r->numbers);
    PyMem_Free(r->primitives);
    PyMem_Free(r);
}

/* Whether the rule may apply to `args`, Numbered nodes and floats. */
static int concerns(const struct Rewriting *r, PyObject *const *args, Py_ssize_t n)
{
    if (r->any)
        return 1;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyFloat_CheckExact(args[i])) {
            for (Py_ssize_t k = 0; k < r->n_numbers; k++)
                if (PyFloat_AS_DOUBLE(args[i]) == r->numbers[k])
                    return 1;
        } else {
            for (Py_ssize_t k = 0; k < r->n_primitives; k++)
                if (((Node *)args[i])->op == r->primitives[k])
                    return 1;
        }
    }
    return 0;
}

/* ---- The hash table --------------------------------------------------------------------------------------------- */

static inline uint64_t bits_of(double x)
{
    uint64_t bits;
    if (x != x)
        return UINT64_C(0x7ff8000000000000); /* all nans are one operand */
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline uint64_t mixed(uint64_t hash, uint64_t x)
{
    hash = (hash ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t hash_of(Node *z)
{
    uint64_t hash = mixed(z->n, (uint64_t)(uintptr_t)z->op);
    Slot *slots = slots_of(z);
    for (Py_ssize_t i = 0; i < z->n; i++)
        hash = mixed(hash, is_number(z, i) ? bits_of(slots[i].number) : (uint64_t)(uintptr_t)slots[i].node);
    return hash;
}

/* Whether two nodes are the same operation on the same operands. 0.0 and -0.0 are different operands. */
static int is_same(Node *x, Node *y)
{
    if (x->op != y->op || x->n != y->n)
        return 0;
    Slot *xs = slots_of(x), *ys = slots_of(y);
    for (Py_ssize_t i = 0; i < x->n; i++) {
        int number = is_number(x, i);
        if (number != is_number(y, i))
            return 0;
        if (number ? bits_of(xs[i].number) != bits_of(ys[i].number) : xs[i].node != ys[i].node)
            return 0;
    }
    return 1;
}

/* The place of the node that is the same as `z`, or else the free place where it belongs. */
static Numbered **place_of(Numbered **known, size_t capacity, Node *z)
{
    size_t at = (size_t)hash_of(z) & (capacity - 1);
    while (known[at] && !is_same(&known[at]->node, z))
        at = (at + 1) & (capacity - 1);
    return &known[at];
}

/* Enlarge the table, if necessary, for one more node. */
static int grow_table(Table *table)
{
    if (2 * (table->used + 1) <= table->capacity)
        return 0;
    size_t capacity = table->capacity ? 2 * table->capacity : 256;
    Numbered **known = PyMem_Calloc(capacity, sizeof *known);
    if (!known) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < table->capacity; i++)
        if (table->known[i])
            *place_of(known, capacity, &table->known[i]->node) = table->known[i];
    PyMem_Free(table->known);
    table->known = known;
    table->capacity = capacity;
    return 0;
}

/* Forget the nodes of the table, and go back to the one that was set aside for it. */
static void drop_table(Table *table)
{
    Table dropped = *table, *aside = dropped.aside;
    *table = aside ? *aside : (Table){0};
    PyMem_Free(aside);
    for (size_t i = 0; i < dropped.capacity; i++)
        Py_XDECREF(dropped.known[i]);
    PyMem_Free(dropped.known);
}

/* ---- Recording -------------------------------------------------------------------------------------------------- */

/* Order the two operands of a commutative primitive: floats, shared nodes, nodes of a row; of two, the older first. */
static inline uint64_t rank_of(PyObject *x)
{
    if (PyFloat_CheckExact(x))
        return 0;
    return (uint64_t)((Numbered *)x)->index + ((uint64_t)((Numbered *)x)->row << 60);
}

/* The node of `op` on `args`, Numbered nodes and floats: a new one, or with `once` the known one if there is one. */
static PyObject *node_in(Operations *self, Primitive *op, PyObject *const *args, Py_ssize_t n, int once)
{
    if (!T.symbol)
        return PyErr_Format(PyExc_RuntimeError, "connect_trace has not been called");
    if ((uint64_t)n > UINT32_MAX)
        return PyErr_Format(PyExc_OverflowError, "a node takes at most %u arguments", UINT32_MAX);
    if (once && grow_table(&self->table) < 0)
        return NULL;
    Node sought = {.op = op, .n = (uint32_t)n}; /* borrows its arguments */
    Slot *many = NULL;
    char row = 0;
    if (n > 2) {
        if (!(many = new_slots(n)))
            return NULL;
        sought.slots[0].many = many;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = args[i];
        if (!PyFloat_CheckExact(x)) {
            (many ? many : sought.slots)[i].node = (Node *)x;
            row |= ((Numbered *)x)->row;
        } else if (many)
            set_number(many, n, i, PyFloat_AS_DOUBLE(x));
        else {
            sought.slots[i].number = PyFloat_AS_DOUBLE(x);
            sought.numbers |= (uint8_t)(1 << i);
        }
    }
    Numbered **place = once ? place_of(self->table.known, self->table.capacity, &sought) : NULL;
    if (place && *place) {
        PyMem_Free(many);
        Py_INCREF(*place);
        return (PyObject *)*place;
    }
    Numbered *z = (Numbered *)T.symbol->tp_alloc(T.symbol, 0); /* all zero */
    if (!z) {
        PyMem_Free(many);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (!PyFloat_CheckExact(args[i]))
            Py_INCREF(args[i]);
    Py_INCREF(op);
    z->node.op = op;
    z->node.n = sought.n;
    z->node.numbers = sought.numbers;
    memcpy(z->node.slots, sought.slots, sizeof sought.slots);
    z->row = row;
    z->index = ++self->made;
    if (place) {
        Py_INCREF(z);
        *place = z;
        self->table.used++;
    }
    return (PyObject *)z;
}

/* The result of `op` on floats alone, as `op.compute` gives it; Py_None if `op` has no number. */
static PyObject *folded(Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    if (PyType_IsSubtype(Py_TYPE(op), T.call))
        Py_RETURN_NONE;
    if (op->number.arity == NONE || n > 8)
        return check_initialised(op) < 0 ? NULL : PyObject_Vectorcall(op->compute, args, (size_t)n, NULL);
    double numbers[8], z;
    for (Py_ssize_t i = 0; i < n; i++)
        numbers[i] = PyFloat_AS_DOUBLE(args[i]);
    return compute(op, numbers, n, &z) < 0 ? NULL : PyFloat_FromDouble(z);
}

/* The result of rewrite.py's `rewrite` for `op` on `args`, Numbered nodes and floats: Py_None if no rule applies. */
static PyObject *rewritten(Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    int constant = 1;
    for (Py_ssize_t i = 0; constant && i < n; i++)
        constant = PyFloat_CheckExact(args[i]);
    if (constant)
        return folded(op, args, n);
    if (op->rewriting && concerns(op->rewriting, args, n))
        return PyObject_Vectorcall(op->rewriting->rule, args, (size_t)n, NULL);
    Py_RETURN_NONE;
}

static PyObject *make_operand(Operations *self, Primitive *op, PyObject *const *args, Py_ssize_t n);

/* Operations.settled: the operand for the answer `simpler` of a rule. Takes over the reference. */
static PyObject *settle(Operations *self, PyObject *simpler)
{
    if (!PyTuple_CheckExact(simpler))
        return simpler;
    PyObject *op, *args, *operands[8], *z = NULL;
    Py_ssize_t n = 0, count = 0;
    if (PyArg_ParseTuple(simpler, "O!O!;a rule gives (op, args)", PrimitiveType, &op, &PyTuple_Type, &args)) {
        count = PyTuple_GET_SIZE(args);
        if (count > 8)
            PyErr_SetString(PyExc_ValueError, "a rule gives an operation of at most 8 operands");
        for (; n < count && count <= 8; n++) {
            Py_INCREF(PyTuple_GET_ITEM(args, n));
            if (!(operands[n] = settle(self, PyTuple_GET_ITEM(args, n))))
                break;
        }
        if (n == count)
            z = make_operand(self, (Primitive *)op, operands, n);
    }
    while (n)
        Py_DECREF(operands[--n]);
    Py_DECREF(simpler);
    return z;
}

/* Operations.make: the operand for `op` on `args`, rewritten; a known node if this operation was recorded before. */
static PyObject *make_operand(Operations *self, Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    if (!T.symbol)
        return PyErr_Format(PyExc_RuntimeError, "connect_trace has not been called");
    for (Py_ssize_t i = 0; i < n; i++)
        if (!PyFloat_CheckExact(args[i]) && !is_numbered(args[i]))
            return wrong_type("the operands in a trace are Symbols and floats, got %U", args[i]);
    if (check_initialised(op) < 0)
        return NULL;
    PyObject *simpler = rewritten(op, args, n);
    if (simpler != Py_None)
        return simpler ? settle(self, simpler) : NULL;
    Py_DECREF(simpler);
    int commutes = n == 2 ? PyObject_IsTrue(op->commutative) : 0;
    if (commutes < 0)
        return NULL;
    if (commutes && rank_of(args[1]) < rank_of(args[0])) {
        PyObject *swapped[] = {args[1], args[0]};
        return node_in(self, op, swapped, 2, 1);
    }
    return node_in(self, op, args, n, 1);
}

/* Operations.record: the Value of `op` on `args`, Values and real numbers. */
static PyObject *record_in(Operations *self, Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    PyObject *small[8] = {NULL}, **operands = small, *z = NULL;
    Py_ssize_t filled = 0;
    if (n > 8 && !(operands = PyMem_Malloc((size_t)n * sizeof *operands)))
        return PyErr_NoMemory();
    for (; filled < n; filled++) {
        PyObject *x = args[filled];
        double number;
        if (PyFloat_CheckExact(x) || Py_TYPE(x) == T.symbol)
            Py_INCREF(x);
        else if (is_node(x)) {
            PyObject *call[] = {(PyObject *)self, x};
            x = PyObject_VectorcallMethod(T.str_operand, call, 2, NULL);
        } else
            x = to_double(x, op->name, &number) < 0 ? NULL : PyFloat_FromDouble(number);
        if (!x)
            goto done;
        operands[filled] = x;
    }
    z = make_operand(self, op, operands, n);
    if (z && PyFloat_CheckExact(z)) {
        PyObject *call[] = {(PyObject *)self, z}, *constant = PyObject_VectorcallMethod(T.str_constant, call, 2, NULL);
        Py_DECREF(z);
        z = constant;
    }
done:
    while (filled)
        Py_DECREF(operands[--filled]);
    if (operands != small)
        PyMem_Free(operands);
    return z;
}

/* ---- The types -------------------------------------------------------------------------------------------------- */

typedef PyObject *(*Recording)(Operations *, Primitive *, PyObject *const *, Py_ssize_t);

/* Call `recording` with the arguments (op, args) of a method of Operations. */
static PyObject *with_tuple(PyObject *self, PyObject *const *args, Py_ssize_t n, Recording recording)
{
    if (n != 2 || !PyObject_TypeCheck(args[0], PrimitiveType) || !(PyTuple_Check(args[1]) || PyList_Check(args[1])))
        return PyErr_Format(PyExc_TypeError, "an operation is a primitive and the tuple of its operands");
    PyObject *operands = PySequence_Tuple(args[1]); /* so that nothing changes them meanwhile */
    if (!operands)
        return NULL;
    PyObject *z = recording((Operations *)self, (Primitive *)args[0], ((PyTupleObject *)operands)->ob_item,
                            PyTuple_GET_SIZE(operands));
    Py_DECREF(operands);
    return z;
}

static PyObject *operations_record(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return with_tuple(self, args, n, record_in);
}

static PyObject *operations_make(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return with_tuple(self, args, n, make_operand);
}

static PyObject *new_operand(Operations *self, Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++)
        if (!PyFloat_CheckExact(args[i]) && !is_numbered(args[i]))
            return wrong_type("the operands in a trace are Symbols and floats, got %U", args[i]);
    return node_in(self, op, args, n, 0);
}

static PyObject *operations_new(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return with_tuple(self, args, n, new_operand);
}

static PyObject *operations_set_aside(PyObject *self, PyObject *unused)
{
    (void)unused;
    Table *table = &((Operations *)self)->table, *aside = PyMem_Malloc(sizeof *aside);
    if (!aside)
        return PyErr_NoMemory();
    *aside = *table;
    *table = (Table){.aside = aside};
    Py_RETURN_NONE;
}

static PyObject *operations_take_back(PyObject *self, PyObject *unused)
{
    (void)unused;
    Table *table = &((Operations *)self)->table;
    if (!table->aside)
        return PyErr_Format(PyExc_IndexError, "no operations were set aside");
    drop_table(table);
    Py_RETURN_NONE;
}

/* The table is empty already. With this, `adopt` does not give the type the __init__ of the class in Python. */
static int init_operations(PyObject *self, PyObject *args, PyObject *options)
{
    (void)self, (void)args, (void)options;
    return 0;
}

static void free_operations(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Operations *operations = (Operations *)self;
    while (operations->table.aside)
        drop_table(&operations->table);
    drop_table(&operations->table);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef operations_methods[] = {
    {"record", FAST(operations_record), METH_FASTCALL, NULL},
    {"make", FAST(operations_make), METH_FASTCALL, NULL},
    {"new", FAST(operations_new), METH_FASTCALL, NULL},
    {"set_aside", operations_set_aside, METH_NOARGS, NULL},
    {"take_back", operations_take_back, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef operations_members[] = {
    {"made", T_PYSSIZET, offsetof(Operations, made), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot operations_slots[] = {
    {Py_tp_init, init_operations},
    {Py_tp_dealloc, free_operations},
    {Py_tp_methods, operations_methods},
    {Py_tp_members, operations_members},
    {0, NULL},
};

static PyType_Spec operations_spec = {
    .name = "autograd_lite.compiler.trace.Operations",
    .basicsize = sizeof(Operations),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = operations_slots,
};

static PyMemberDef numbered_members[] = {
    {"index", T_PYSSIZET, offsetof(Numbered, index), 0, NULL},
    {"row", T_BOOL, offsetof(Numbered, row), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot numbered_slots[] = {
    {Py_tp_members, numbered_members},
    {0, NULL},
};

static PyType_Spec numbered_spec = {
    .name = "autograd_lite.compiler.trace.Numbered",
    .basicsize = sizeof(Numbered),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = numbered_slots,
};

/* What the tuple (rule, numbers, primitives) of rewrite.py says, for the primitive `op`. None for both: always call. */
static struct Rewriting *read_rewriting(PyObject *written)
{
    PyObject *rule, *numbers, *primitives;
    if (!PyTuple_Check(written)) {
        PyErr_SetString(PyExc_TypeError, "a rule is a tuple");
        return NULL;
    }
    if (!PyArg_ParseTuple(written, "OOO", &rule, &numbers, &primitives))
        return NULL;
    struct Rewriting *r = PyMem_Calloc(1, sizeof *r);
    if (!r) {
        PyErr_NoMemory();
        return NULL;
    }
    Py_INCREF(rule);
    r->rule = rule;
    r->any = numbers == Py_None || primitives == Py_None;
    if (r->any)
        return r;
    if (!PyTuple_Check(numbers) || !PyTuple_Check(primitives)) {
        PyErr_SetString(PyExc_TypeError, "a rule looks for tuples of numbers and of primitives");
        goto failed;
    }
    r->numbers = PyMem_Calloc((size_t)PyTuple_GET_SIZE(numbers) + 1, sizeof *r->numbers);
    r->primitives = PyMem_Calloc((size_t)PyTuple_GET_SIZE(primitives) + 1, sizeof *r->primitives);
    if (!r->numbers || !r->primitives) {
        PyErr_NoMemory();
        goto failed;
    }
    for (; r->n_numbers < PyTuple_GET_SIZE(numbers); r->n_numbers++) {
        r->numbers[r->n_numbers] = PyFloat_AsDouble(PyTuple_GET_ITEM(numbers, r->n_numbers));
        if (PyErr_Occurred())
            goto failed;
    }
    for (; r->n_primitives < PyTuple_GET_SIZE(primitives); r->n_primitives++) {
        PyObject *op = PyTuple_GET_ITEM(primitives, r->n_primitives);
        if (!PyObject_TypeCheck(op, PrimitiveType)) {
            wrong_type("a rule looks for Primitives, got %U", op);
            goto failed;
        }
        Py_INCREF(op);
        r->primitives[r->n_primitives] = (Primitive *)op;
    }
    return r;
failed:
    free_rewriting(r);
    return NULL;
}

/* connect_trace(Symbol, Trace, Call, rules): keep these classes, and the rules, a dict by primitive. */
static PyObject *connect_trace(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *symbol, *trace, *call, *rules, *op, *written;
    Py_ssize_t at = 0;
    if (!PyArg_ParseTuple(args, "O!O!O!O!", &PyType_Type, &symbol, &PyType_Type, &trace, &PyType_Type, &call,
                          &PyDict_Type, &rules))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)symbol, NumberedType) ||
        !PyType_IsSubtype((PyTypeObject *)trace, OperationsType) ||
        !PyType_IsSubtype((PyTypeObject *)call, PrimitiveType))
        return PyErr_Format(PyExc_TypeError, "connect_trace takes subclasses of Numbered, Operations and Primitive");
    while (PyDict_Next(rules, &at, &op, &written)) {
        if (!PyObject_TypeCheck(op, PrimitiveType))
            return wrong_type("a rule is for a Primitive, got %U", op);
        struct Rewriting *r = read_rewriting(written);
        if (!r)
            return NULL;
        free_rewriting(((Primitive *)op)->rewriting);
        ((Primitive *)op)->rewriting = r;
    }
    Py_INCREF(symbol);
    Py_XSETREF(T.symbol, (PyTypeObject *)symbol);
    Py_INCREF(trace);
    Py_XSETREF(T.trace, (PyTypeObject *)trace);
    Py_INCREF(call);
    Py_XSETREF(T.call, (PyTypeObject *)call);
    Py_RETURN_NONE;
}
