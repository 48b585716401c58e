/* The engine in C: Value, its operators, the walk over a graph, and the sweep of `backward`.
 *
 * value.py, graph.py and primitives.py define the behaviour of everything in this file. Where this extension is built,
 * they replace their own objects by those of this file (extension.py); every test runs on both engines. Numbers,
 * gradients and the order of additions are the same to the last bit.
 *
 * There is no derivative in this file. The partials of a row of the table are traced once, by rules.py, into a few
 * instructions for the register machine below; where that cannot be done, the rule is called in Python.
 *
 * Contents:  nodes | numbers from numbers | primitives | recording | traces (_core_trace.h) | operators and attributes
 *            of a Value | the walk | compiling (_core_simplify.h, _core_outline.h) | rules | backward | sweeps of
 *            calculus.py (_core_sweep.h) | methods of Value | the module
 *
 * Everything runs with the GIL held. The cyclic garbage collector does not track nodes: a node's
 * arguments exist before it does and never change, so nodes alone cannot form a cycle. A primitive that is recorded in
 * a trace must not own that trace: such a cycle would never be freed.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "The engine in C relies on the GIL; a Python without one uses the Python engine."
#endif

/* Raise a TypeError; %U in the message becomes the name of the type of x. */
static PyObject *wrong_type(const char *message, PyObject *x)
{
    PyObject *name = PyType_GetName(Py_TYPE(x));
    if (name) {
        PyErr_Format(PyExc_TypeError, message, name);
        Py_DECREF(name);
    }
    return NULL;
}

static PyObject *tuple_of(PyObject *const *items, Py_ssize_t n)
{
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; tuple && i < n; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(items[i]));
    return tuple;
}

/* A function with the convention METH_FASTCALL or METH_KEYWORDS, for a table of methods. */
#define FAST(f) ((PyCFunction)(void (*)(void))(f))

/* ---- Nodes ------------------------------------------------------------------------------------------------------ */

typedef struct Node Node;
typedef struct Primitive Primitive;

/* One argument: a node, or a raw number. `many` is in a node's first slot if it has more than two arguments. */
typedef union Slot {
    Node *node;
    double number;
    union Slot *many;
} Slot;

struct Node {
    PyObject_HEAD
    double data;
    double grad;
    Primitive *op;   /* NULL: a leaf */
    PyObject *label; /* a str; NULL: "" */
    uint64_t mark;   /* set by the last walk over this node; in the lists S.free and S.dying, the next node */
    uint32_t n;      /* the number of arguments */
    uint8_t numbers; /* bit i: slots[i] is a number. With more than two arguments the bits follow the slots */
    uint8_t plain;   /* 1: `data` and `grad` are these fields; 0: a subclass has properties in their place */
    Slot slots[2];
};

static PyTypeObject *NodeType, *PrimitiveType, *MethodType;

/* The objects that Python passed to `connect`, and the state shared by this whole file. */
static struct {
    PyObject *opened, *active, *eager, *leaves;        /* documented in value.py */
    PyObject *to_float, *operate, *reflect, *backward; /* value.py's functions for rare cases */
    PyObject *comparisons[6];                          /* value.py's methods, by Py_LT ... */
    PyObject *str_record, *str_data, *str_grad, *str_watch, *empty;
    Primitive *add, *sub, *mul, *div, *mod, *floordiv, *pow, *pow_const, *neg, *abs, *sum, *dot, *detach;
    uint64_t clock;  /* larger than every mark: a new walk marks nodes with numbers from here on */
    Node *free;      /* nodes to be used again, linked by `mark` */
    Py_ssize_t n_free;
    Node *dying;     /* nodes whose last reference has gone, linked by `mark` */
    int deallocating; /* 1: a caller on the C stack is `dealloc_node` */
} S;

#ifndef MAX_FREE
#define MAX_FREE (1 << 14)
#endif

enum { SIGNALS_EVERY = 1 << 16 };

static inline int is_node(PyObject *x) { return PyObject_TypeCheck(x, NodeType); }

static inline Slot *slots_of(Node *z) { return z->n > 2 ? z->slots[0].many : z->slots; }

static inline int is_number(const Node *z, Py_ssize_t i)
{
    if (z->n <= 2)
        return z->numbers >> i & 1;
    return ((const uint8_t *)(z->slots[0].many + z->n))[i >> 3] >> (i & 7) & 1;
}

/* Allocate n > 2 slots and their bits, all 0: every slot holds a node. */
static Slot *new_slots(Py_ssize_t n)
{
    size_t bits = ((size_t)n + 7) / 8;
    Slot *many = PyMem_Malloc((size_t)n * sizeof(Slot) + bits);
    if (many)
        memset(many + n, 0, bits);
    else
        PyErr_NoMemory();
    return many;
}

static inline void set_number(Slot *many, Py_ssize_t n, Py_ssize_t i, double number)
{
    many[i].number = number;
    ((uint8_t *)(many + n))[i >> 3] |= (uint8_t)(1 << (i & 7));
}

static inline Node *new_value(double data)
{
    Node *z = S.free;
    if (z) {
        S.free = (Node *)(uintptr_t)z->mark;
        S.n_free--;
        PyObject_Init((PyObject *)z, NodeType);
    } else if (!(z = PyObject_New(Node, NodeType)))
        return NULL;
    z->data = data;
    z->grad = 0.0;
    z->op = NULL;
    z->label = NULL;
    z->mark = 0;
    z->n = 0;
    z->numbers = 0;
    z->plain = 1;
    return z;
}

static int is_plain(PyTypeObject *type)
{
    PyObject *names[] = {S.str_data, S.str_grad};
    int plain = 1;
    for (int i = 0; i < 2; i++) {
        PyObject *base = PyObject_GetAttr((PyObject *)NodeType, names[i]);
        PyObject *its = PyObject_GetAttr((PyObject *)type, names[i]);
        plain = plain && base && base == its;
        Py_XDECREF(base);
        Py_XDECREF(its);
    }
    PyErr_Clear();
    return plain;
}

/* A leaf of `type`, Value or a subclass, that holds 0.0. */
static Node *new_of(PyTypeObject *type)
{
    if (type == NodeType)
        return new_value(0.0);
    Node *z = (Node *)type->tp_alloc(type, 0); /* all zero */
    if (z)
        z->plain = (uint8_t)is_plain(type);
    return z;
}

static void release_node(Node *z)
{
    Slot *slots = slots_of(z);
    for (Py_ssize_t i = 0; i < z->n; i++)
        if (!is_number(z, i))
            Py_DECREF(slots[i].node);
    if (z->n > 2)
        PyMem_Free(z->slots[0].many);
    Py_XDECREF(z->op);
    Py_XDECREF(z->label);
    PyTypeObject *type = Py_TYPE(z);
    if (type == NodeType && S.n_free < MAX_FREE) {
        z->mark = (uint64_t)(uintptr_t)S.free;
        S.free = z;
        S.n_free++;
    } else
        type->tp_free(z);
    Py_DECREF(type);
}

/* tp_dealloc. A node freed while another is being freed is put in a list, so that deep graphs need no deep C stack. */
static void dealloc_node(PyObject *self)
{
    Node *z = (Node *)self;
    if (S.deallocating) {
        z->mark = (uint64_t)(uintptr_t)S.dying;
        S.dying = z;
        return;
    }
    S.deallocating = 1;
    release_node(z);
    while (S.dying) {
        z = S.dying;
        S.dying = (Node *)(uintptr_t)z->mark;
        release_node(z);
    }
    S.deallocating = 0;
}

/* ---- Numbers from numbers: ieee.py's functions, from the same libm that Python's math module calls --------------- */

typedef struct {
    int arity; /* 1, 2, 3; MANY; or NONE: only `compute`, in Python, can compute it */
    union {
        double (*one)(double);
        double (*two)(double, double);
        double (*three)(double, double, double);
        double (*many)(const double *, Py_ssize_t);
    } f;
} Number;

enum { NONE = 0, MANY = -1 };

static double c_add(double x, double y) { return x + y; }
static double c_sub(double x, double y) { return x - y; }
static double c_mul(double x, double y) { return x * y; }
static double c_div(double x, double y) { return x / y; }
static double c_neg(double x) { return -x; }
static double c_pos(double x) { return x; }
static double c_relu(double x) { return x <= 0.0 ? 0.0 : x; }
static double c_step(double x) { return x <= 0.0 ? 0.0 : 1.0; }
static double c_sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x; }
static double c_maximum(double x, double y) { return x > y || x != x ? x : y; }
static double c_minimum(double x, double y) { return x < y || x != x ? x : y; }
static double c_share(double x, double y) { return x == y ? 0.5 : x < y ? 0.0 : 1.0; }
static double c_where(double c, double x, double y) { return c != 0.0 ? x : y; }
static double c_log1p(double x) { return x == 0.0 ? x : log1p(x); }

static double c_sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

static double c_softplus(double x) { return c_relu(x) + log1p(exp(-fabs(x))); }

static double c_sum(const double *xs, Py_ssize_t n)
{
    double total = -0.0;
    for (Py_ssize_t i = 0; i < n; i++)
        total += xs[i];
    return total;
}

static double c_dot(const double *xy, Py_ssize_t n)
{
    double total = -0.0;
    for (Py_ssize_t i = 0, half = n / 2; i < half; i++)
        total += xy[i] * xy[half + i];
    return total;
}

/* Rows of the table without an entry here are computed in Python. */
static const struct {
    const char *name;
    Number number;
} NUMBERS[] = {
    {"add", {2, {.two = c_add}}},
    {"sub", {2, {.two = c_sub}}},
    {"mul", {2, {.two = c_mul}}},
    {"div", {2, {.two = c_div}}},
    {"neg", {1, {.one = c_neg}}},
    {"pow", {2, {.two = pow}}},
    {"pow_const", {2, {.two = pow}}},
    {"exp", {1, {.one = exp}}},
    {"exp2", {1, {.one = exp2}}},
    {"expm1", {1, {.one = expm1}}},
    {"log", {1, {.one = log}}},
    {"log2", {1, {.one = log2}}},
    {"log10", {1, {.one = log10}}},
    {"log1p", {1, {.one = c_log1p}}},
    {"sqrt", {1, {.one = sqrt}}},
    {"cbrt", {1, {.one = cbrt}}},
    {"sin", {1, {.one = sin}}},
    {"cos", {1, {.one = cos}}},
    {"tan", {1, {.one = tan}}},
    {"asin", {1, {.one = asin}}},
    {"acos", {1, {.one = acos}}},
    {"atan", {1, {.one = atan}}},
    {"sinh", {1, {.one = sinh}}},
    {"cosh", {1, {.one = cosh}}},
    {"tanh", {1, {.one = tanh}}},
    {"asinh", {1, {.one = asinh}}},
    {"acosh", {1, {.one = acosh}}},
    {"atanh", {1, {.one = atanh}}},
    {"sigmoid", {1, {.one = c_sigmoid}}},
    {"softplus", {1, {.one = c_softplus}}},
    {"relu", {1, {.one = c_relu}}},
    {"step", {1, {.one = c_step}}},
    {"sign", {1, {.one = c_sign}}},
    {"abs", {1, {.one = fabs}}},
    {"maximum", {2, {.two = c_maximum}}},
    {"minimum", {2, {.two = c_minimum}}},
    {"share", {2, {.two = c_share}}},
    {"where", {3, {.three = c_where}}},
    {"detach", {1, {.one = c_pos}}},
    {"sum", {MANY, {.many = c_sum}}},
    {"dot", {MANY, {.many = c_dot}}},
};

/* ---- Primitives ------------------------------------------------------------------------------------------------- */

typedef struct Rule Rule;

/* How the sweep gets the partials of a primitive. */
enum Strategy {
    UNKNOWN,     /* not determined yet */
    TRACED,      /* by the instructions of `rule` */
    BY_EXPONENT, /* its second argument is a number, and there are instructions for each such number */
    BY_ARITY,    /* any number of arguments: `shapes` has the form of the partials for each number of arguments */
    IN_PYTHON,   /* by a call of `partials` */
};

enum Shape { SHAPE_UNKNOWN, SHAPE_ONES, SHAPE_OTHER_HALF, SHAPE_IN_PYTHON };

enum { EXPONENTS = 64, MAX_ARITY_TRACED = 1 << 20 };

struct Primitive {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *dict, *name, *compute, *partials, *arity, *factors, *commutative, *selecting;
    PyObject *own_compute, *own_partials; /* of a row of the table: those that `number` and `rule` replace */
    Number number, own_number;            /* the C function that does what `compute` does */
    int selects, takes;                   /* copies of the attributes `selects` and `arity`, -1 for any arity */
    enum Strategy strategy;
    Rule *rule;
    struct {
        double number;
        int used;
        Rule *rule; /* NULL: the rule runs in Python */
    } *exponents;
    int n_exponents;
    uint8_t *shapes; /* by the number of arguments */
    Py_ssize_t n_shapes;
    struct Rewriting *rewriting; /* how a trace rewrites this operation: _core_trace.h; NULL: not at all */
};

static void free_rewriting(struct Rewriting *r);

/* 0; or -1 and an error if `op` came from Primitive.__new__ and its __init__ was never called. */
static int check_initialised(const Primitive *op)
{
    if (op->name && op->compute && op->partials && op->commutative)
        return 0;
    PyErr_SetString(PyExc_AttributeError, "this Primitive has not been initialised");
    return -1;
}

static PyObject *wrong_arity(const Primitive *op, int takes, Py_ssize_t n)
{
    if (check_initialised(op) < 0)
        return NULL;
    return PyErr_Format(PyExc_TypeError, "%U takes %d argument%s, got %zd", op->name, takes, takes > 1 ? "s" : "", n);
}

/* The number of `op` on `numbers`, in *z; -1 and an error if there is a wrong number of them, or Python raised one. */
static int compute(Primitive *op, const double *numbers, Py_ssize_t n, double *z)
{
    if (op->number.arity > 0 && n != op->number.arity) {
        wrong_arity(op, op->number.arity, n);
        return -1;
    }
    switch (op->number.arity) {
    case 1:
        *z = op->number.f.one(numbers[0]);
        return 0;
    case 2:
        *z = op->number.f.two(numbers[0], numbers[1]);
        return 0;
    case 3:
        *z = op->number.f.three(numbers[0], numbers[1], numbers[2]);
        return 0;
    case MANY:
        *z = op->number.f.many(numbers, n);
        return 0;
    }
    PyObject *args = check_initialised(op) < 0 ? NULL : PyTuple_New(n);
    if (!args)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = PyFloat_FromDouble(numbers[i]);
        if (!x) {
            Py_DECREF(args);
            return -1;
        }
        PyTuple_SET_ITEM(args, i, x);
    }
    PyObject *result = PyObject_CallObject(op->compute, args);
    Py_DECREF(args);
    if (!result)
        return -1;
    *z = PyFloat_AsDouble(result);
    Py_DECREF(result);
    return *z == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* Convert `x` as Python's to_float does; -1 and its TypeError for anything but a real number. */
static int to_double(PyObject *x, PyObject *what, double *number)
{
    if (PyFloat_Check(x)) { /* also np.float64, a subclass */
        *number = PyFloat_AS_DOUBLE(x);
        return 0;
    }
    if (PyLong_CheckExact(x)) {
        *number = PyLong_AsDouble(x);
        if (*number != -1.0 || !PyErr_Occurred())
            return 0;
        PyErr_Clear(); /* an int beyond the largest float: to_float makes it infinite */
    }
    PyObject *converted = PyObject_CallFunctionObjArgs(S.to_float, x, what, NULL);
    if (!converted)
        return -1;
    *number = PyFloat_AsDouble(converted);
    Py_DECREF(converted);
    return *number == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* The number of a node; a subclass may have a property there. */
static inline int number_of(Node *x, double *number)
{
    if (x->plain) {
        *number = x->data;
        return 0;
    }
    PyObject *data = PyObject_GetAttr((PyObject *)x, S.str_data);
    if (!data)
        return -1;
    *number = PyFloat_AsDouble(data);
    Py_DECREF(data);
    return *number == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* ---- Recording -------------------------------------------------------------------------------------------------- */

enum Mode { EAGER, LEAVES, OTHER };

/* How operations are recorded in this thread. *recorder is a new reference if that is OTHER, else NULL. */
static inline int active_recorder(enum Mode *mode, PyObject **recorder)
{
    *recorder = NULL;
    *mode = EAGER;
    if (PyList_GET_SIZE(S.opened) == 0)
        return 0;
    PyObject *found;
    if (PyContextVar_Get(S.active, NULL, &found) < 0)
        return -1;
    if (found == S.eager || found == S.leaves) {
        *mode = found == S.eager ? EAGER : LEAVES;
        Py_DECREF(found);
    } else {
        *mode = OTHER;
        *recorder = found;
    }
    return 0;
}

/* A node of `op` on one or two arguments, whose number is `number`. `x` is NULL if the first argument is the plain
 * number dx, and `y` if the second is dy. */
static inline PyObject *small_node(Primitive *op, int n, Node *x, double dx, Node *y, double dy, double number)
{
    Node *z = new_value(number);
    if (!z)
        return NULL;
    Py_INCREF(op);
    z->op = op;
    z->n = (uint32_t)n;
    if (x) {
        Py_INCREF(x);
        z->slots[0].node = x;
    } else {
        z->slots[0].number = dx;
        z->numbers = 1;
    }
    if (n > 1) {
        if (y) {
            Py_INCREF(y);
            z->slots[1].node = y;
        } else {
            z->slots[1].number = dy;
            z->numbers |= 2;
        }
    }
    return (PyObject *)z;
}

/* Give the new node z the n > 2 arguments `many`, whose references it takes over. */
static void take_slots(Node *z, Primitive *op, Slot *many, Py_ssize_t n)
{
    Py_INCREF(op);
    z->op = op;
    z->n = (uint32_t)n;
    z->slots[0].many = many;
}

static void free_slots(Slot *many, Py_ssize_t filled, Py_ssize_t n)
{
    const uint8_t *bits = (const uint8_t *)(many + n);
    for (Py_ssize_t i = 0; i < filled; i++)
        if (!(bits[i >> 3] >> (i & 7) & 1))
            Py_DECREF(many[i].node);
    PyMem_Free(many);
}

/* `args`, Values and real numbers, as a tuple of Values and floats. */
static PyObject *converted(Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; tuple && i < n; i++) {
        PyObject *x = args[i];
        double number;
        if (PyFloat_CheckExact(x) || is_node(x))
            Py_INCREF(x);
        else
            x = to_double(x, op->name, &number) < 0 ? NULL : PyFloat_FromDouble(number);
        if (x)
            PyTuple_SET_ITEM(tuple, i, x);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* recorder.record(op, args). Takes over the reference to `args`, NULL after an error. */
static PyObject *record_with(PyObject *recorder, Primitive *op, PyObject *args)
{
    PyObject *call[] = {recorder, (PyObject *)op, args};
    PyObject *z = args ? PyObject_VectorcallMethod(S.str_record, call, 3, NULL) : NULL;
    Py_XDECREF(args);
    return z;
}

/* A node of `op` on `args` (Values and real numbers); a leaf with its number if not `keeps`. */
static PyObject *make(Primitive *op, PyObject *const *args, Py_ssize_t n, int keeps)
{
    double small[8], *numbers = small, number;
    Node *nodes[2] = {NULL, NULL}, *z = NULL;
    Slot *many = NULL;
    if (n > 8 && !(numbers = PyMem_Malloc((size_t)n * sizeof(double))))
        return PyErr_NoMemory();
    if (n > 2 && keeps && !(many = new_slots(n)))
        goto done;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = args[i];
        int number_is = !is_node(x);
        if ((number_is ? to_double(x, op->name, &numbers[i]) : number_of((Node *)x, &numbers[i])) < 0) {
            if (many)
                free_slots(many, i, n);
            goto done;
        }
        if (many) {
            if (number_is)
                set_number(many, n, i, numbers[i]);
            else {
                Py_INCREF(x);
                many[i].node = (Node *)x;
            }
        } else if (n <= 2 && !number_is)
            nodes[i] = (Node *)x;
    }
    if (compute(op, numbers, n, &number) < 0) {
        if (many)
            free_slots(many, n, n);
        goto done;
    }
    if (keeps && n && n <= 2) {
        z = (Node *)small_node(op, (int)n, nodes[0], numbers[0], nodes[1], numbers[1], number);
        goto done;
    }
    z = new_value(number);
    if (z && many)
        take_slots(z, op, many, n);
    else if (z && keeps) {
        Py_INCREF(op);
        z->op = op;
    } else if (many)
        free_slots(many, n, n);
done:
    if (numbers != small)
        PyMem_Free(numbers);
    return (PyObject *)z;
}

#include "_core_trace.h"

/* `op` on `args` by a recorder other than EAGER and LEAVES. */
static PyObject *record_by(PyObject *recorder, Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    if (Py_TYPE(recorder) == T.trace)
        return record_in((Operations *)recorder, op, args, n);
    return record_with(recorder, op, converted(op, args, n));
}

/* Value.record: record `op` on `args`, Values and real numbers, with the active recorder. */
static PyObject *record(Primitive *op, PyObject *const *args, Py_ssize_t n)
{
    enum Mode mode;
    PyObject *recorder;
    if (active_recorder(&mode, &recorder) < 0)
        return NULL;
    if (mode == OTHER) {
        PyObject *z = record_by(recorder, op, args, n);
        Py_DECREF(recorder);
        return z;
    }
    if (n == 1 && op->number.arity == 1 && Py_TYPE(args[0]) == NodeType) { /* the usual case, written out */
        Node *x = (Node *)args[0];
        double number = op->number.f.one(x->data);
        return mode == EAGER ? small_node(op, 1, x, 0.0, NULL, 0.0, number) : (PyObject *)new_value(number);
    }
    return make(op, args, n, mode == EAGER);
}

/* Call a primitive: numbers give a float; any Value among the arguments records a node. */
static PyObject *call_primitive(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    Primitive *op = (Primitive *)self;
    Py_ssize_t n = PyVectorcall_NARGS(flags);
    if (names && PyTuple_GET_SIZE(names))
        return check_initialised(op) < 0
                   ? NULL
                   : PyErr_Format(PyExc_TypeError, "%U takes no keyword arguments", op->name);
    if (op->takes >= 0 && n != op->takes)
        return wrong_arity(op, op->takes, n);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = args[i];
        if (PyFloat_CheckExact(x) || PyLong_CheckExact(x))
            continue;
        if (is_node(x))
            return record(op, args, n);
        if (PyObject_HasAttr(x, S.str_record))
            return record_with(x, op, tuple_of(args, n));
    }
    if (op->number.arity == NONE) { /* the result of `compute`, which need not be a float */
        PyObject *tuple = check_initialised(op) < 0 ? NULL : converted(op, args, n);
        PyObject *z = tuple ? PyObject_CallObject(op->compute, tuple) : NULL;
        Py_XDECREF(tuple);
        return z;
    }
    double small[8] = {0.0}, *numbers = small, number = 0.0;
    if (n > 8 && !(numbers = PyMem_Malloc((size_t)n * sizeof(double))))
        return PyErr_NoMemory();
    int wrong = 0;
    for (Py_ssize_t i = 0; i < n && !wrong; i++)
        wrong = to_double(args[i], op->name, &numbers[i]) < 0;
    wrong = wrong || compute(op, numbers, n, &number) < 0;
    if (numbers != small)
        PyMem_Free(numbers);
    return wrong ? NULL : PyFloat_FromDouble(number);
}

static PyObject *new_primitive(PyTypeObject *type, PyObject *args, PyObject *options)
{
    (void)args, (void)options;
    Primitive *op = (Primitive *)type->tp_alloc(type, 0);
    if (op) {
        op->call = call_primitive;
        op->takes = -1;
    }
    return (PyObject *)op;
}

static int visit_primitive(PyObject *self, visitproc visit, void *arg)
{
    Primitive *op = (Primitive *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(op->dict);
    Py_VISIT(op->name);
    Py_VISIT(op->compute);
    Py_VISIT(op->partials);
    Py_VISIT(op->own_compute);
    Py_VISIT(op->own_partials);
    return 0;
}

static int clear_primitive(PyObject *self)
{
    Primitive *op = (Primitive *)self;
    Py_CLEAR(op->dict);
    Py_CLEAR(op->compute);
    Py_CLEAR(op->partials);
    Py_CLEAR(op->own_compute);
    Py_CLEAR(op->own_partials);
    return 0;
}

static void free_primitive(PyObject *self)
{
    Primitive *op = (Primitive *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear_primitive(self);
    Py_CLEAR(op->name);
    Py_CLEAR(op->arity);
    Py_CLEAR(op->factors);
    Py_CLEAR(op->commutative);
    Py_CLEAR(op->selecting);
    PyMem_Free(op->exponents); /* the rules themselves belong to rows of the table, which are never freed */
    PyMem_Free(op->shapes);
    free_rewriting(op->rewriting);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Called after `compute` or `partials` was assigned: drop the function in C and the traced rule of the old ones. They
 * stay valid only if the assigned functions are the table's own. */
static void forget(Primitive *op)
{
    op->number = op->own_number;
    if (op->compute != op->own_compute)
        op->number.arity = NONE;
    op->strategy = UNKNOWN;
}

enum Field { F_NAME, F_COMPUTE, F_PARTIALS, F_SELECTS, F_COMMUTATIVE, F_FACTORS, F_ARITY };

static PyObject **field(Primitive *op, void *which)
{
    switch ((enum Field)(intptr_t)which) {
    case F_NAME: return &op->name;
    case F_COMPUTE: return &op->compute;
    case F_PARTIALS: return &op->partials;
    case F_SELECTS: return &op->selecting;
    case F_COMMUTATIVE: return &op->commutative;
    case F_FACTORS: return &op->factors;
    case F_ARITY: break;
    }
    return &op->arity;
}

static PyObject *get_field(PyObject *self, void *which)
{
    PyObject *x = *field((Primitive *)self, which);
    if (!x)
        PyErr_SetString(PyExc_AttributeError, "this Primitive has not been initialised");
    Py_XINCREF(x);
    return x;
}

static int set_field(PyObject *self, PyObject *x, void *which)
{
    Primitive *op = (Primitive *)self;
    if (!x) {
        PyErr_SetString(PyExc_TypeError, "an attribute of a Primitive cannot be deleted");
        return -1;
    }
    switch ((enum Field)(intptr_t)which) {
    case F_NAME:
        if (!PyUnicode_Check(x)) {
            wrong_type("the name of a Primitive is a str, got %U", x);
            return -1;
        }
        break;
    case F_SELECTS:
        if ((op->selects = PyObject_IsTrue(x)) < 0)
            return -1;
        break;
    case F_ARITY: {
        long takes = x == Py_None ? -1 : PyLong_AsLong(x);
        if (takes == -1 && PyErr_Occurred())
            return -1;
        op->takes = (int)takes;
        break;
    }
    default: break;
    }
    PyObject **place = field(op, which), *old = *place;
    Py_INCREF(x);
    *place = x;
    forget(op);
    Py_XDECREF(old);
    return 0;
}

static PyGetSetDef primitive_attributes[] = {
    {"name", get_field, set_field, NULL, (void *)F_NAME},
    {"compute", get_field, set_field, NULL, (void *)F_COMPUTE},
    {"partials", get_field, set_field, NULL, (void *)F_PARTIALS},
    {"selects", get_field, set_field, NULL, (void *)F_SELECTS},
    {"commutative", get_field, set_field, NULL, (void *)F_COMMUTATIVE},
    {"factors", get_field, set_field, NULL, (void *)F_FACTORS},
    {"arity", get_field, set_field, NULL, (void *)F_ARITY},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef primitive_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Primitive, call), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(Primitive, dict), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot primitive_slots[] = {
    {Py_tp_new, new_primitive},
    {Py_tp_dealloc, free_primitive},
    {Py_tp_traverse, visit_primitive},
    {Py_tp_clear, clear_primitive},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getset, primitive_attributes},
    {Py_tp_members, primitive_members},
    {0, NULL},
};

static PyType_Spec primitive_spec = {
    .name = "autograd_lite.primitives.Primitive",
    .basicsize = sizeof(Primitive),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_BASETYPE,
    .slots = primitive_slots,
};

/* ---- Operators and attributes of a Value ------------------------------------------------------------------------ */

static inline int is_usual_operand(PyObject *x)
{
    return Py_TYPE(x) == NodeType || Py_TYPE(x) == T.symbol || PyFloat_CheckExact(x) || PyLong_CheckExact(x);
}

/* x op y, at least one of them a Value. `constant` is recorded in place of `op` if only the left one is. Unusual
 * operands, also Values of a subclass, are left to value.py's `operate` and `reflect`. */
static PyObject *binary(Primitive *op, Primitive *constant, PyObject *left, PyObject *right)
{
    Node *x = Py_TYPE(left) == NodeType ? (Node *)left : NULL, *y = Py_TYPE(right) == NodeType ? (Node *)right : NULL;
    double dx = 0.0, dy = 0.0, number;
    if (PyList_GET_SIZE(S.opened) == 0 && op->number.arity == 2) {
        if (x && y)
            return small_node(op, 2, x, 0.0, y, 0.0, op->number.f.two(x->data, y->data));
        int known = 0;
        if (x) {
            known = PyFloat_Check(right) || PyLong_CheckExact(right);
            if (known && to_double(right, op->name, &dy) < 0)
                return NULL;
        } else if (y) {
            known = PyFloat_Check(left) || PyLong_CheckExact(left);
            if (known && to_double(left, op->name, &dx) < 0)
                return NULL;
            if (op == S.add && dx == 0.0 && PyLong_CheckExact(left)) { /* Python's sum() starts with 0 + y */
                Py_INCREF(right);
                return right;
            }
        }
        if (known) {
            Primitive *recorded = x ? constant : op;
            number = op->number.f.two(x ? x->data : dx, y ? y->data : dy);
            return small_node(recorded, 2, x, dx, y, dy, number);
        }
    }
    if (PyList_GET_SIZE(S.opened) && is_usual_operand(left) && is_usual_operand(right) &&
        !(op == S.add && PyLong_CheckExact(left))) { /* `reflect` knows the 0 of Python's sum() */
        PyObject *args[] = {left, right};
        return record(is_node(right) ? op : constant, args, 2);
    }
    if (is_node(left)) {
        PyObject *args[] = {(PyObject *)op, (PyObject *)constant, left, right};
        return PyObject_Vectorcall(S.operate, args, 4, NULL);
    }
    PyObject *args[] = {(PyObject *)op, right, left};
    return PyObject_Vectorcall(S.reflect, args, 3, NULL);
}

static PyObject *value_add(PyObject *x, PyObject *y) { return binary(S.add, S.add, x, y); }
static PyObject *value_sub(PyObject *x, PyObject *y) { return binary(S.sub, S.sub, x, y); }
static PyObject *value_mul(PyObject *x, PyObject *y) { return binary(S.mul, S.mul, x, y); }
static PyObject *value_div(PyObject *x, PyObject *y) { return binary(S.div, S.div, x, y); }
static PyObject *value_mod(PyObject *x, PyObject *y) { return binary(S.mod, S.mod, x, y); }
static PyObject *value_floordiv(PyObject *x, PyObject *y) { return binary(S.floordiv, S.floordiv, x, y); }
static PyObject *value_neg(PyObject *x) { return record(S.neg, &x, 1); }
static PyObject *value_abs(PyObject *x) { return record(S.abs, &x, 1); }

static PyObject *value_pow(PyObject *x, PyObject *y, PyObject *modulus)
{
    if (modulus != Py_None)
        Py_RETURN_NOTIMPLEMENTED;
    return binary(S.pow, S.pow_const, x, y);
}

static PyObject *compare(PyObject *self, PyObject *y, int comparison)
{
    if (comparison == Py_EQ || comparison == Py_NE) /* by identity; a subclass that defines == gets the matching != */
        return PyBaseObject_Type.tp_richcompare(self, y, comparison);
    if (PyList_GET_SIZE(S.opened) == 0 && ((Node *)self)->plain) {
        double a = ((Node *)self)->data, b = 0.0;
        int known = 1;
        if (Py_TYPE(y) == NodeType)
            b = ((Node *)y)->data;
        else if (PyFloat_CheckExact(y))
            b = PyFloat_AS_DOUBLE(y);
        else
            known = 0; /* Python compares an int with a float exactly */
        if (known)
            Py_RETURN_RICHCOMPARE(a, b, comparison);
    }
    PyObject *args[] = {self, y};
    return PyObject_Vectorcall(S.comparisons[comparison], args, 2, NULL);
}

static Py_hash_t identity(PyObject *self) { return PyBaseObject_Type.tp_hash(self); }

static PyObject *get_number(PyObject *self, void *which)
{
    return PyFloat_FromDouble(which ? ((Node *)self)->grad : ((Node *)self)->data);
}

static int set_number_of(PyObject *self, PyObject *x, void *which)
{
    double number;
    const char *name = which ? "Value.grad" : "Value.data";
    if (!x) {
        PyErr_Format(PyExc_TypeError, "%s cannot be deleted", name);
        return -1;
    }
    if (PyFloat_CheckExact(x))
        number = PyFloat_AS_DOUBLE(x);
    else {
        PyObject *what = PyUnicode_FromString(name);
        int wrong = !what || to_double(x, what, &number) < 0;
        Py_XDECREF(what);
        if (wrong)
            return -1;
    }
    *(which ? &((Node *)self)->grad : &((Node *)self)->data) = number;
    return 0;
}

static PyObject *get_label(PyObject *self, void *unused)
{
    (void)unused;
    PyObject *label = ((Node *)self)->label ? ((Node *)self)->label : S.empty;
    Py_INCREF(label);
    return label;
}

static int set_label(PyObject *self, PyObject *label, void *unused)
{
    (void)unused;
    if (!label || !PyUnicode_Check(label)) {
        wrong_type("Value.label takes a str, got %U", label ? label : Py_None);
        return -1;
    }
    PyObject *old = ((Node *)self)->label, *exact = NULL;
    if (PyUnicode_GET_LENGTH(label) && !(exact = PyUnicode_FromObject(label)))
        return -1;
    ((Node *)self)->label = exact;
    Py_XDECREF(old);
    return 0;
}

static PyObject *get_op(PyObject *self, void *unused)
{
    (void)unused;
    PyObject *op = ((Node *)self)->op ? (PyObject *)((Node *)self)->op : Py_None;
    Py_INCREF(op);
    return op;
}

static PyObject *get_args(PyObject *self, void *unused)
{
    (void)unused;
    Node *z = (Node *)self;
    Slot *slots = slots_of(z);
    PyObject *args = PyTuple_New(z->n);
    for (Py_ssize_t i = 0; args && i < z->n; i++) {
        PyObject *x;
        if (is_number(z, i)) {
            x = PyFloat_FromDouble(slots[i].number);
            if (!x) {
                Py_CLEAR(args);
                break;
            }
        } else {
            x = (PyObject *)slots[i].node;
            Py_INCREF(x);
        }
        PyTuple_SET_ITEM(args, i, x);
    }
    return args;
}

static PyGetSetDef value_attributes[] = {
    {"data", get_number, set_number_of, "The number.", (void *)0},
    {"grad", get_number, set_number_of, "The gradient that `backward` found.", (void *)1},
    {"label", get_label, set_label, "The name in errors and pictures, a str.", NULL},
    {"op", get_op, NULL, "The primitive that made this; None for a leaf.", NULL},
    {"args", get_args, NULL, "What this was made from: a tuple of Values and floats, empty for a leaf.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *new_leaf_of(PyTypeObject *type, PyObject *args, PyObject *options)
{
    (void)args, (void)options;
    return (PyObject *)new_of(type);
}

static int set_up_leaf(Node *z, PyObject *data, PyObject *label)
{
    double number;
    if (PyFloat_CheckExact(data))
        number = PyFloat_AS_DOUBLE(data);
    else {
        PyObject *what = PyUnicode_FromString("Value");
        int wrong = !what || to_double(data, what, &number) < 0;
        Py_XDECREF(what);
        if (wrong)
            return -1;
    }
    if (z->plain)
        z->data = number, z->grad = 0.0;
    else { /* a subclass with a property for one of them */
        PyObject *x = PyFloat_FromDouble(number), *zero = PyFloat_FromDouble(0.0);
        int wrong = !x || !zero || PyObject_SetAttr((PyObject *)z, S.str_data, x) < 0 ||
                    PyObject_SetAttr((PyObject *)z, S.str_grad, zero) < 0;
        Py_XDECREF(x);
        Py_XDECREF(zero);
        if (wrong)
            return -1;
    }
    return label ? set_label((PyObject *)z, label, NULL) : 0;
}

static int init_value(PyObject *self, PyObject *args, PyObject *options)
{
    static char *names[] = {"data", "label", NULL};
    PyObject *data, *label = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, options, "O|O:Value", names, &data, &label))
        return -1;
    return set_up_leaf((Node *)self, data, label);
}

/* Value(data), called without building a tuple of arguments. */
static PyObject *call_value_type(PyObject *type, PyObject *const *args, size_t flags, PyObject *names)
{
    Py_ssize_t n = PyVectorcall_NARGS(flags);
    if (n == 1 && (!names || !PyTuple_GET_SIZE(names))) {
        Node *z = new_value(0.0); /* subclasses do not inherit this function */
        if (z && set_up_leaf(z, args[0], NULL) < 0)
            Py_CLEAR(z);
        return (PyObject *)z;
    }
    PyObject *tuple = tuple_of(args, n), *options = names ? PyDict_New() : NULL, *z = NULL;
    if (!tuple || (names && !options))
        goto done;
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++)
        if (PyDict_SetItem(options, PyTuple_GET_ITEM(names, i), args[n + i]) < 0)
            goto done;
    z = (PyObject *)new_of((PyTypeObject *)type);
    if (z && init_value(z, tuple, options) < 0)
        Py_CLEAR(z);
done:
    Py_XDECREF(tuple);
    Py_XDECREF(options);
    return z;
}

/* ---- The walk --------------------------------------------------------------------------------------------------- */

typedef struct {
    Node *node;
    Py_ssize_t next; /* the argument to look at next */
} Frame;

/* Grow an array so that it holds one more than `used` items of `size` bytes. */
static int grow(void *array, size_t *capacity, size_t used, size_t size)
{
    if (used < *capacity)
        return 0;
    size_t larger = *capacity ? *capacity * 2 : 64;
    void *moved = PyMem_Realloc(*(void **)array, larger * size);
    if (!moved) {
        PyErr_NoMemory();
        return -1;
    }
    *(void **)array = moved;
    *capacity = larger;
    return 0;
}

/* Run pending signal handlers. -1: one raised an error. 1: Python code has walked over a graph meanwhile. */
static int check_signals(void)
{
    uint64_t clock = S.clock;
    if (PyErr_CheckSignals() < 0)
        return -1;
    return S.clock != clock;
}

/* All nodes under `roots`, each once and after its arguments, in the order of graph.topological_order. The result is an
 * array of borrowed references, to be freed with PyMem_Free. */
static Node **walk(PyObject *const *roots, Py_ssize_t n_roots, Py_ssize_t *count)
{
    Node **order = NULL;
    Frame *stack = NULL;
    size_t capacity = 0, deep = 0, used = 0, depth = 0;
restart:;
    uint64_t base = S.clock++;
    used = depth = 0;
    for (Py_ssize_t r = 0; r < n_roots; r++) {
        Node *root = (Node *)roots[r];
        if (root->mark >= base)
            continue;
        root->mark = base;
        if (grow(&stack, &deep, depth, sizeof(Frame)) < 0)
            goto failed;
        stack[depth++] = (Frame){root, 0};
        while (depth) {
        next:;
            Frame *top = &stack[depth - 1];
            Node *z = top->node;
            Slot *slots = slots_of(z);
            for (Py_ssize_t i = top->next; i < z->n; i++) {
                if (is_number(z, i))
                    continue;
                Node *x = slots[i].node;
                if (x->mark >= base)
                    continue;
                x->mark = base;
                if (x->n) { /* its arguments first */
                    top->next = i + 1;
                    if (grow(&stack, &deep, depth, sizeof(Frame)) < 0)
                        goto failed;
                    stack[depth++] = (Frame){x, 0};
                    goto next;
                }
                if (grow(&order, &capacity, used, sizeof(Node *)) < 0)
                    goto failed;
                order[used++] = x;
            }
            if (grow(&order, &capacity, used, sizeof(Node *)) < 0)
                goto failed;
            order[used++] = z;
            depth--;
            if (used % SIGNALS_EVERY == 0) {
                int signals = check_signals();
                if (signals < 0)
                    goto failed;
                if (signals)
                    goto restart;
            }
        }
    }
    PyMem_Free(stack);
    *count = (Py_ssize_t)used;
    if (!order && !(order = PyMem_Malloc(sizeof(Node *))))
        PyErr_NoMemory();
    return order;
failed:
    PyMem_Free(stack);
    PyMem_Free(order);
    return NULL;
}

static PyObject *topological_order(PyObject *module, PyObject *const *roots, Py_ssize_t n)
{
    (void)module;
    for (Py_ssize_t i = 0; i < n; i++)
        if (!is_node(roots[i]))
            return wrong_type("topological_order takes Values, got %U: of a list, write topological_order(*values)",
                              roots[i]);
    Py_ssize_t count;
    Node **order = walk(roots, n, &count);
    if (!order)
        return NULL;
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list && i < count; i++) {
        Py_INCREF(order[i]);
        PyList_SET_ITEM(list, i, (PyObject *)order[i]);
    }
    PyMem_Free(order);
    return list;
}

static PyObject *dependents(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    if (n != 2)
        return PyErr_Format(PyExc_TypeError, "dependents takes an order and Values, got %zd arguments", n);
    PyObject *order = PySequence_Fast(args[0], "dependents takes a list of Values"), *xs = NULL;
    int failed = 1;
    if (order && (xs = PySequence_List(args[1]))) {
        failed = 0;
        uint64_t base = S.clock++;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(xs); i++)
            if (is_node(PyList_GET_ITEM(xs, i)))
                ((Node *)PyList_GET_ITEM(xs, i))->mark = base;
        for (Py_ssize_t k = 0; !failed && k < PySequence_Fast_GET_SIZE(order); k++) {
            Node *z = (Node *)PySequence_Fast_GET_ITEM(order, k);
            if (!is_node((PyObject *)z))
                continue;
            Slot *slots = slots_of(z);
            for (Py_ssize_t i = 0; i < z->n; i++)
                if (!is_number(z, i) && slots[i].node->mark >= base) {
                    z->mark = base;
                    failed = PyList_Append(xs, (PyObject *)z) < 0;
                    break;
                }
        }
    }
    PyObject *set = failed ? NULL : PySet_New(xs);
    Py_XDECREF(order);
    Py_XDECREF(xs);
    return set;
}

#include "_core_simplify.h"
#include "_core_outline.h"
#include "_core_sweep.h"

/* ---- Rules: the partials of a row of the table, as instructions of a register machine ---------------------------- */

/* Register 0 holds z, registers 1 to n the arguments; then come the constants of a partial, then its results. */
enum { REGISTERS = 64 };

typedef struct {
    Number number;
    uint8_t x, y, c; /* the registers of the operands */
} Instruction;

typedef struct {
    enum { NOTHING, CONSTANT, REGISTER, INSTRUCTIONS } kind; /* NOTHING: no gradient flows to this argument */
    double constant;
    int result; /* the register with the partial after the last instruction */
    int n_constants, n_instructions;
    double *constants;
    Instruction *instructions;
} Partial;

struct Rule {
    int n;
    Partial partials[];
};

static void free_rule(Rule *rule)
{
    for (int i = 0; rule && i < rule->n; i++) {
        PyMem_Free(rule->partials[i].constants);
        PyMem_Free(rule->partials[i].instructions);
    }
    PyMem_Free(rule);
}

/* The partial by an argument. The registers up to the n arguments have been set. */
static inline double partial_of(const Partial *p, double *registers, int n)
{
    if (p->kind == CONSTANT)
        return p->constant;
    if (p->kind == INSTRUCTIONS) {
        double *next = registers + 1 + n;
        for (int k = 0; k < p->n_constants; k++)
            *next++ = p->constants[k];
        for (int k = 0; k < p->n_instructions; k++) {
            const Instruction *i = &p->instructions[k];
            if (i->number.arity == 2)
                *next++ = i->number.f.two(registers[i->x], registers[i->y]);
            else if (i->number.arity == 1)
                *next++ = i->number.f.one(registers[i->x]);
            else
                *next++ = i->number.f.three(registers[i->x], registers[i->y], registers[i->c]);
        }
    }
    return registers[p->result];
}

/* Read one partial in the format of rules.py: None; or (instructions, result). An operand is a register, as an int, or
 * a float. 1: success. 0: it needs a primitive that is not in NUMBERS, or too many registers. -1: an error. */
static int read_partial(PyObject *written, int n, Partial *p)
{
    if (written == Py_None) {
        p->kind = NOTHING;
        return 1;
    }
    PyObject *list, *result;
    if (!PyArg_ParseTuple(written, "O!O", &PyList_Type, &list, &result))
        return -1;
    if (PyFloat_Check(result)) {
        p->kind = CONSTANT;
        p->constant = PyFloat_AS_DOUBLE(result);
        return 1;
    }
    Py_ssize_t count = PyList_GET_SIZE(list);
    int constants = 0;
    for (Py_ssize_t k = 0; k < count; k++) {
        PyObject *row = PyList_GET_ITEM(list, k);
        for (Py_ssize_t j = 1; j < PyTuple_GET_SIZE(row); j++)
            constants += PyFloat_Check(PyTuple_GET_ITEM(row, j));
    }
    if (1 + n + constants + count > REGISTERS)
        return 0;
    p->kind = count ? INSTRUCTIONS : REGISTER;
    p->constants = PyMem_Calloc((size_t)constants + 1, sizeof(double));
    p->instructions = PyMem_Calloc((size_t)count + 1, sizeof(Instruction));
    if (!p->constants || !p->instructions) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        PyObject *row = PyList_GET_ITEM(list, k);
        Primitive *op = (Primitive *)PyTuple_GET_ITEM(row, 0);
        Py_ssize_t n_args = PyTuple_GET_SIZE(row) - 1;
        if (op->number.arity < 1 || op->number.arity != n_args)
            return 0;
        Instruction *instruction = &p->instructions[p->n_instructions++];
        instruction->number = op->number;
        uint8_t *operands[] = {&instruction->x, &instruction->y, &instruction->c};
        for (Py_ssize_t j = 0; j < n_args; j++) {
            PyObject *x = PyTuple_GET_ITEM(row, j + 1);
            long at;
            if (PyFloat_Check(x)) {
                at = 1 + n + p->n_constants;
                p->constants[p->n_constants++] = PyFloat_AS_DOUBLE(x);
            } else {
                at = PyLong_AsLong(x);
                at += at > n ? constants : 0; /* rules.py numbers the registers as if there were none for constants */
            }
            *operands[j] = (uint8_t)at;
        }
    }
    long at = PyLong_AsLong(result);
    p->result = (int)(at + (at > n ? constants : 0));
    return 1;
}

/* The traced rule of `op` for n arguments, the last one perhaps the number `exponent`: rules.py's list of n partials;
 * NULL without an error if the rule cannot be traced. */
static PyObject *traced(Primitive *op, Py_ssize_t n, PyObject *exponent)
{
    PyObject *rules = PyImport_ImportModule("autograd_lite.rules");
    PyObject *answer = rules ? PyObject_CallMethod(rules, "traced", "OnO", op, n, exponent) : NULL;
    Py_XDECREF(rules);
    if (answer == Py_None)
        Py_CLEAR(answer);
    return answer;
}

/* The instructions of `op`, in *rule; NULL there if it cannot be traced. -1: an error. */
static int trace_rule(Primitive *op, int n, PyObject *exponent, Rule **rule)
{
    *rule = NULL;
    if (n >= REGISTERS) /* z and the arguments have a register each */
        return 0;
    PyObject *answer = traced(op, n, exponent);
    if (!answer)
        return PyErr_Occurred() ? -1 : 0;
    Rule *new = PyMem_Calloc(1, sizeof(Rule) + (size_t)n * sizeof(Partial));
    int understood = new ? 1 : -1;
    if (new)
        new->n = n;
    else
        PyErr_NoMemory();
    for (int i = 0; understood == 1 && i < n; i++)
        understood = read_partial(PyList_GET_ITEM(answer, i), n, &new->partials[i]);
    Py_DECREF(answer);
    if (understood == 1)
        *rule = new;
    else
        free_rule(new);
    return understood < 0 ? -1 : 0;
}

/* The form of the partials of `op`, a primitive of any number of arguments, for n arguments. */
static int trace_shape(Primitive *op, Py_ssize_t n)
{
    PyObject *answer = traced(op, n, Py_None);
    if (!answer)
        return PyErr_Occurred() ? -1 : SHAPE_IN_PYTHON;
    int ones = 1, other_half = n % 2 == 0;
    for (Py_ssize_t i = 0; i < n && (ones || other_half); i++) {
        PyObject *partial = PyList_GET_ITEM(answer, i);
        PyObject *result = PyTuple_Check(partial) ? PyTuple_GET_ITEM(partial, 1) : NULL;
        ones = ones && result && PyFloat_Check(result) && PyFloat_AS_DOUBLE(result) == 1.0;
        other_half = other_half && result && PyLong_Check(result) && PyLong_AsLong(result) == 1 + (i + n / 2) % n;
    }
    Py_DECREF(answer);
    return ones ? SHAPE_ONES : other_half ? SHAPE_OTHER_HALF : SHAPE_IN_PYTHON;
}

static int find_exponent(Primitive *op, double number)
{
    for (int k = 0; k < op->n_exponents; k++)
        if (!memcmp(&op->exponents[k].number, &number, sizeof number))
            return k;
    return -1;
}

/* Make sure that `rule_of` knows how the partials of z are found. May call Python. -1: an error. */
static int prepare(Node *z)
{
    Primitive *op = z->op;
    if (op->strategy == UNKNOWN) {
        int n = op->takes;
        op->strategy = IN_PYTHON; /* users' primitives always: their rules may read other state than the arguments */
        if (op->own_partials && op->partials == op->own_partials && op->compute == op->own_compute) {
            if (n < 0)
                op->strategy = BY_ARITY;
            else {
                Rule *rule;
                if (trace_rule(op, n, Py_None, &rule) < 0) {
                    op->strategy = UNKNOWN;
                    return -1;
                }
                op->rule = rule;
                op->strategy = rule ? TRACED : n == 2 ? BY_EXPONENT : IN_PYTHON;
            }
        }
    }
    if (op->strategy == BY_EXPONENT && z->n == 2 && is_number(z, 1) && op->n_exponents < EXPONENTS) {
        double number = z->slots[1].number;
        if (find_exponent(op, number) < 0) {
            if (!op->exponents && !(op->exponents = PyMem_Calloc(EXPONENTS, sizeof *op->exponents))) {
                PyErr_NoMemory();
                return -1;
            }
            Rule *rule;
            PyObject *exponent = PyFloat_FromDouble(number);
            int wrong = !exponent || trace_rule(op, 2, exponent, &rule) < 0;
            Py_XDECREF(exponent);
            if (wrong)
                return -1;
            op->exponents[op->n_exponents].number = number;
            op->exponents[op->n_exponents++].rule = rule;
        }
    }
    if (op->strategy == BY_ARITY && z->n <= MAX_ARITY_TRACED) {
        if (z->n >= op->n_shapes) {
            Py_ssize_t larger = (Py_ssize_t)z->n * 2 + 64;
            uint8_t *moved = PyMem_Realloc(op->shapes, (size_t)larger);
            if (!moved) {
                PyErr_NoMemory();
                return -1;
            }
            memset(moved + op->n_shapes, SHAPE_UNKNOWN, (size_t)(larger - op->n_shapes));
            op->shapes = moved;
            op->n_shapes = larger;
        }
        if (op->shapes[z->n] == SHAPE_UNKNOWN) {
            int shape = trace_shape(op, z->n);
            if (shape < 0)
                return -1;
            op->shapes[z->n] = (uint8_t)shape;
        }
    }
    return 0;
}

/* How to compute the partials of z: with the instructions in *rule; if *rule is NULL, from their shape, the result; if
 * that is SHAPE_IN_PYTHON, by a call of `partials`. */
static inline enum Shape rule_of(const Node *z, const Rule **rule)
{
    Primitive *op = z->op;
    *rule = NULL;
    if (op->strategy == TRACED && z->n == (uint32_t)op->rule->n)
        *rule = op->rule;
    else if (op->strategy == BY_EXPONENT && z->n == 2 && is_number(z, 1)) {
        int k = find_exponent(op, z->slots[1].number);
        *rule = k < 0 ? NULL : op->exponents[k].rule;
    } else if (op->strategy == BY_ARITY && z->n < op->n_shapes && op->shapes[z->n])
        return (enum Shape)op->shapes[z->n];
    return SHAPE_IN_PYTHON;
}

/* ---- Backward --------------------------------------------------------------------------------------------------- */

/* The numbers of the arguments of z, as a tuple; with the number of z before them if `first` is 1, not 0. */
static PyObject *numbers_under(Node *z, Py_ssize_t first)
{
    Slot *slots = slots_of(z);
    PyObject *args = PyTuple_New(z->n + first);
    for (Py_ssize_t i = -first; args && i < z->n; i++) {
        PyObject *x = PyFloat_FromDouble(i < 0 ? z->data : is_number(z, i) ? slots[i].number : slots[i].node->data);
        if (x)
            PyTuple_SET_ITEM(args, first + i, x);
        else
            Py_CLEAR(args);
    }
    return args;
}

/* The partials of z by a call of its rule: a tuple with one for each argument, as a new reference. */
static PyObject *partials_in_python(Node *z)
{
    PyObject *args = check_initialised(z->op) < 0 ? NULL : numbers_under(z, 1);
    if (!args)
        return NULL;
    PyObject *found = PyObject_CallObject(z->op->partials, args);
    Py_DECREF(args);
    if (found && !PyTuple_Check(found))
        Py_SETREF(found, PySequence_Tuple(found));
    if (found && PyTuple_GET_SIZE(found) != z->n) {
        PyErr_Format(PyExc_TypeError, "the partials of %U must be a tuple of %u, one per argument, got %R",
                     z->op->name, z->n, found);
        Py_CLEAR(found);
    }
    return found;
}

/* The calls with several results: see Result in primitives.py. `first[k]` is the index of the first node of the call
 * that node k is a result of, or NO_CALL if there is none; `cotangents[first[k]]` has the pairs collected for it. */
typedef struct {
    uint32_t *first;
    PyObject **cotangents;
} Calls;

#define NO_CALL UINT32_MAX

static void free_calls(Calls *calls, Py_ssize_t count)
{
    for (Py_ssize_t k = 0; calls->cotangents && k < count; k++)
        Py_XDECREF(calls->cotangents[k]);
    PyMem_Free(calls->cotangents);
    PyMem_Free(calls->first);
}

/* Find the calls in the graph; `calls` stays empty if there is none. -1 and an exception if that fails. */
static int find_calls(Node **order, Py_ssize_t count, Calls *calls)
{
    PyObject *known = NULL;
    int failed = 0;
    for (Py_ssize_t k = 0; k < count && !failed; k++) {
        Primitive *op = order[k]->op;
        if (!op || op->strategy != IN_PYTHON || Py_TYPE(op) == PrimitiveType ||
            !PyObject_HasAttrString((PyObject *)op, "result_of"))
            continue;
        if (!known) {
            known = PyDict_New();
            calls->first = PyMem_Malloc((size_t)count * sizeof *calls->first);
            calls->cotangents = PyMem_Calloc((size_t)count, sizeof *calls->cotangents);
            if (!known || !calls->first || !calls->cotangents) {
                PyErr_NoMemory();
                failed = -1;
                break;
            }
            for (Py_ssize_t i = 0; i < count; i++)
                calls->first[i] = NO_CALL;
        }
        PyObject *call = PyObject_GetAttrString((PyObject *)op, "result_of"), *index = PyLong_FromSsize_t(k);
        PyObject *first = call && index ? PyDict_SetDefault(known, call, index) : NULL;
        failed = first ? 0 : -1;
        Py_ssize_t f = first ? PyLong_AsSsize_t(first) : k;
        /* A copied result may have copies of the arguments: it is pulled back alone. */
        const int same = order[f]->n == order[k]->n &&
                         !memcmp(slots_of(order[f]), slots_of(order[k]), order[k]->n * sizeof(Slot));
        calls->first[k] = (uint32_t)(same ? f : k);
        Py_XDECREF(call);
        Py_XDECREF(index);
    }
    Py_XDECREF(known);
    return failed;
}

/* Take the gradient of node k, a result of a call. At the first node of the call, pull back all that were taken and add
 * the result to `gradients`. */
static int pull(const Calls *calls, Node **order, Py_ssize_t k, double g, double *gradients, const uint32_t *targets)
{
    Node *z = order[k];
    PyObject **list = &calls->cotangents[calls->first[k]];
    PyObject *index = PyObject_GetAttrString((PyObject *)z->op, "index");
    PyObject *pair = index ? Py_BuildValue("(Nd)", index, g) : NULL;
    if (!pair || (!*list && !(*list = PyList_New(0))) || PyList_Append(*list, pair) < 0) {
        Py_XDECREF(pair);
        return -1;
    }
    Py_DECREF(pair);
    if (calls->first[k] != (uint32_t)k)
        return 0;
    int failed = -1;
    PyObject *call = PyObject_GetAttrString((PyObject *)z->op, "result_of"), *args = numbers_under(z, 0), *found = NULL;
    if (call && args)
        found = PyObject_CallMethod(call, "pull", "OO", *list, args);
    if (found && PyList_CheckExact(found)) /* a tuple: the items' own code may change the list */
        Py_SETREF(found, PyList_AsTuple(found));
    if (found && (!PyTuple_CheckExact(found) || PyTuple_GET_SIZE(found) != z->n))
        PyErr_Format(PyExc_TypeError, "a call must pull back to a list of %u, one per argument, got %R", z->n, found);
    else if (found) {
        failed = 0;
        for (Py_ssize_t i = 0; i < z->n && !failed; i++) {
            double added;
            PyObject *item = PyTuple_GET_ITEM(found, i);
            if (item != Py_None && !is_number(z, i) && !(failed = to_double(item, z->op->name, &added)))
                gradients[targets[i]] += added;
        }
    }
    Py_XDECREF(call);
    Py_XDECREF(args);
    Py_XDECREF(found);
    return failed;
}

/* The chain rule: from the last node to the first, add the gradient times each partial to that of the argument.
 *
 * With `gradients` NULL the gradients are those of the nodes, and no Python code runs except
 * handlers of signals. Otherwise the gradient of node i is gradients[i], and `targets` has the index of each argument
 * of each node, in the order of the nodes and arguments. So rules in Python may change the gradients of nodes, and
 * other threads may sweep at the same time. */
static inline int sweep(Node **order, Py_ssize_t count, double *gradients, const uint32_t *targets, const Calls *calls)
{
    double registers[REGISTERS];
    Py_ssize_t since_signals = 0;
    for (Py_ssize_t k = count - 1; k >= 0; k--) {
        Node *z = order[k];
        if (gradients)
            targets -= z->n;
        if (!z->op)
            continue;
        if ((since_signals += 1 + z->n) >= SIGNALS_EVERY) {
            since_signals = 0;
            int signals = check_signals();
            if (signals < 0)
                return -1;
            if (signals && !gradients) {
                PyErr_SetString(PyExc_RuntimeError, "a signal handler walked over a graph in the middle of backward");
                return -1;
            }
        }
        Py_ssize_t n = z->n;
        Slot *slots = slots_of(z);
        const double g = gradients ? gradients[k] : z->grad;
        if (calls && calls->first && calls->first[k] != NO_CALL) {
            if (pull(calls, order, k, g, gradients, targets) < 0)
                return -1;
            continue;
        }
        const int selects = z->op->selects;
        const Rule *rule;
        enum Shape shape = rule_of(z, &rule);
#define GRADIENT(i) (gradients ? &gradients[targets[i]] : &slots[i].node->grad)
        if (rule) {
            registers[0] = z->data;
            for (Py_ssize_t i = 0; i < n; i++)
                registers[1 + i] = is_number(z, i) ? slots[i].number : slots[i].node->data;
            for (Py_ssize_t i = 0; i < n; i++)
                if (!is_number(z, i) && rule->partials[i].kind != NOTHING) {
                    double dx = partial_of(&rule->partials[i], registers, (int)n);
                    if (!(selects && dx == 0.0))
                        *GRADIENT(i) += g * dx;
                }
        } else if (shape == SHAPE_ONES) {
            for (Py_ssize_t i = 0; i < n; i++)
                if (!is_number(z, i))
                    *GRADIENT(i) += g;
        } else if (shape == SHAPE_OTHER_HALF) {
            if (g == 0.0 && z->op == S.dot && z->data - z->data == 0.0)
                continue; /* every factor of a finite dot product is finite, and 0 times that adds nothing */
            for (Py_ssize_t i = 0, half = n / 2; i < n; i++)
                if (!is_number(z, i)) {
                    Py_ssize_t j = i < half ? i + half : i - half;
                    double dx = is_number(z, j) ? slots[j].number : slots[j].node->data;
                    if (!(selects && dx == 0.0))
                        *GRADIENT(i) += g * dx;
                }
        } else if (!gradients) {
            PyErr_SetString(PyExc_RuntimeError, "a primitive was changed in the middle of backward");
            return -1;
        } else {
            PyObject *found = partials_in_python(z);
            if (!found)
                return -1;
            for (Py_ssize_t i = 0; i < n; i++) {
                PyObject *item = PyTuple_GET_ITEM(found, i);
                if (item == Py_None || is_number(z, i))
                    continue;
                double dx;
                if (PyFloat_CheckExact(item))
                    dx = PyFloat_AS_DOUBLE(item);
                else if (to_double(item, z->op->name, &dx) < 0) {
                    Py_DECREF(found);
                    return -1;
                }
                if (!(selects && dx == 0.0))
                    gradients[targets[i]] += g * dx;
            }
            Py_DECREF(found);
        }
#undef GRADIENT
    }
    return 0;
}

/* Sweep over the gradients of the nodes themselves. If that fails, restore those of the leaves. */
static int sweep_nodes(Node **order, Py_ssize_t count)
{
    Py_ssize_t leaves = 0, k, l;
    for (k = 0; k < count; k++)
        leaves += !order[k]->op;
    double *before = PyMem_Malloc((size_t)(leaves + 1) * sizeof(double));
    if (!before) {
        PyErr_NoMemory();
        return -1;
    }
    for (k = l = 0; k < count; k++) {
        if (!order[k]->op)
            before[l++] = order[k]->grad;
        order[k]->grad = 0.0;
    }
    order[count - 1]->grad = 1.0;
    int failed = sweep(order, count, NULL, NULL, NULL);
    for (k = l = 0; k < count; k++)
        if (!order[k]->op) {
            double added = failed ? 0.0 : order[k]->grad;
            order[k]->grad = failed ? before[l] : added + before[l];
            l++;
        }
    PyMem_Free(before);
    return failed;
}

/* Sweep over an array of gradients, then copy them to the nodes without running Python code in between. */
static int sweep_apart(Node **order, Py_ssize_t count)
{
    size_t edges = 0;
    for (Py_ssize_t k = 0; k < count; k++)
        edges += order[k]->n;
    double *gradients = PyMem_Calloc((size_t)count, sizeof(double));
    uint32_t *targets = PyMem_Malloc((edges + 1) * sizeof(uint32_t));
    int failed = -1;
    if (!gradients || !targets)
        PyErr_NoMemory();
    else if ((uint64_t)count > UINT32_MAX)
        PyErr_SetString(PyExc_MemoryError, "backward: too many nodes for a sweep with rules in Python");
    else {
        uint64_t base = S.clock;
        S.clock += (uint64_t)count;
        for (Py_ssize_t k = 0; k < count; k++)
            order[k]->mark = base + (uint64_t)k;
        size_t at = 0;
        for (Py_ssize_t k = 0; k < count; k++) {
            Slot *slots = slots_of(order[k]);
            for (Py_ssize_t i = 0; i < order[k]->n; i++, at++)
                targets[at] = is_number(order[k], i) ? 0 : (uint32_t)(slots[i].node->mark - base);
        }
        gradients[count - 1] = 1.0;
        Calls calls = {NULL, NULL};
        failed = find_calls(order, count, &calls);
        if (!failed)
            failed = sweep(order, count, gradients, targets + edges, &calls);
        free_calls(&calls, count);
    }
    for (Py_ssize_t k = 0; !failed && k < count; k++)
        order[k]->grad = order[k]->op ? gradients[k] : gradients[k] + order[k]->grad;
    PyMem_Free(gradients);
    PyMem_Free(targets);
    return failed;
}

static PyObject *backward(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_ssize_t count;
    Node **order = walk(&self, 1, &count);
    if (!order)
        return NULL;
    int in_python = 0, plain = 1, failed = 0;
    const Rule *rule;
    for (Py_ssize_t k = 0; k < count && !failed; k++) {
        plain = plain && order[k]->plain;
        if (order[k]->op) {
            failed = prepare(order[k]);
            in_python = in_python || (rule_of(order[k], &rule) == SHAPE_IN_PYTHON && !rule);
        }
    }
    if (!failed && !plain) { /* value.py's sweep, which reads attributes through Python, properties included */
        PyMem_Free(order);
        return PyObject_CallOneArg(S.backward, self);
    }
    failed = failed || (in_python ? sweep_apart(order, count) : sweep_nodes(order, count));
    PyObject *recorder = NULL, *list = NULL;
    enum Mode mode = EAGER;
    if (!failed)
        failed = active_recorder(&mode, &recorder);
    if (!failed && mode == OTHER && !(failed = !(list = PyList_New(count))))
        for (Py_ssize_t k = 0; k < count; k++) {
            Py_INCREF(order[k]);
            PyList_SET_ITEM(list, k, (PyObject *)order[k]);
        }
    PyMem_Free(order);
    if (list) {
        PyObject *watched = PyObject_CallMethodOneArg(recorder, S.str_watch, list);
        failed = !watched;
        Py_XDECREF(watched);
    }
    Py_XDECREF(list);
    Py_XDECREF(recorder);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- Methods of Value ------------------------------------------------------------------------------------------- */

static PyObject *record_method(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    if (n != 2 || !PyObject_TypeCheck(args[0], PrimitiveType) || !PyTuple_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "record takes a primitive and the tuple of its arguments");
    return record((Primitive *)args[0], ((PyTupleObject *)args[1])->ob_item, PyTuple_GET_SIZE(args[1]));
}

static PyMethodDef value_methods[] = {
    {"record", FAST(record_method), METH_FASTCALL,
     "record($self, op, args, /)\n--\n\n"
     "Record `op` on `args`, Values and real numbers, with the active recorder, and return the result."},
    {"backward", backward, METH_NOARGS,
     "backward($self, /)\n--\n\n"
     "Add d(self)/d(leaf) to the `grad` of every leaf under `self`; set the `grad` of every node between."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot value_slots[] = {
    {Py_tp_doc, "Value(data, label='')\n--\n\nA number that remembers how it was made."},
    {Py_tp_new, new_leaf_of},
    {Py_tp_init, init_value},
    {Py_tp_dealloc, dealloc_node},
    {Py_tp_methods, value_methods},
    {Py_tp_getset, value_attributes},
    {Py_tp_richcompare, compare},
    {Py_tp_hash, identity},
    {Py_nb_add, value_add},
    {Py_nb_subtract, value_sub},
    {Py_nb_multiply, value_mul},
    {Py_nb_true_divide, value_div},
    {Py_nb_remainder, value_mod},
    {Py_nb_floor_divide, value_floordiv},
    {Py_nb_power, value_pow},
    {Py_nb_negative, value_neg},
    {Py_nb_absolute, value_abs},
    {0, NULL},
};

static PyType_Spec value_spec = {
    .name = "autograd_lite.value.Value",
    .basicsize = sizeof(Node),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = value_slots,
};

/* A method without arguments that records one primitive, such as Value.tanh. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    Primitive *op;
    PyObject *python; /* value.py's method: its name and docstring */
} Method;

static PyObject *call_method(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    Method *method = (Method *)self;
    if (PyVectorcall_NARGS(flags) == 1 && is_node(args[0]) && !names)
        return record(method->op, args, 1);
    return PyObject_Vectorcall(method->python, args, flags, names); /* it raises the error with Python's message */
}

static PyObject *bind_method(PyObject *self, PyObject *object, PyObject *type)
{
    (void)type;
    if (object)
        return PyMethod_New(self, object);
    Py_INCREF(self);
    return self;
}

static PyObject *method_attribute(PyObject *self, PyObject *name)
{
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return found;
    PyErr_Clear();
    return PyObject_GetAttr(((Method *)self)->python, name);
}

static void free_method(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Method *)self)->op);
    Py_XDECREF(((Method *)self)->python);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *method_doc(PyObject *self, void *unused)
{
    (void)unused;
    return PyObject_GetAttrString(((Method *)self)->python, "__doc__");
}

static PyGetSetDef method_attributes[] = {
    {"__doc__", method_doc, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef method_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Method, call), READONLY, NULL},
    {"__wrapped__", T_OBJECT, offsetof(Method, python), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot method_slots[] = {
    {Py_tp_dealloc, free_method},     {Py_tp_call, PyVectorcall_Call},     {Py_tp_descr_get, bind_method},
    {Py_tp_getset, method_attributes}, {Py_tp_members, method_members}, {Py_tp_getattro, method_attribute},
    {0, NULL},
};

static PyType_Spec method_spec = {
    .name = "autograd_lite._core.Method",
    .basicsize = sizeof(Method),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = method_slots,
};

/* ---- The module ------------------------------------------------------------------------------------------------- */

static PyObject *new_method(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *op, *python;
    if (!PyArg_ParseTuple(args, "O!O", PrimitiveType, &op, &python))
        return NULL;
    Method *method = PyObject_New(Method, MethodType);
    if (method) {
        method->call = call_method;
        Py_INCREF(op);
        Py_INCREF(python);
        method->op = (Primitive *)op;
        method->python = python;
    }
    return (PyObject *)method;
}

/* new_node(op, args) and new_leaf(op, args) of value.py. A third argument, the numbers of `args`, is ignored. */
static PyObject *new_recorded(PyObject *const *args, Py_ssize_t n, int keeps)
{
    if (n < 2 || !PyObject_TypeCheck(args[0], PrimitiveType) || !PyTuple_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "a node is made of a primitive and the tuple of its arguments");
    return make((Primitive *)args[0], ((PyTupleObject *)args[1])->ob_item, PyTuple_GET_SIZE(args[1]), keeps);
}

static PyObject *new_node(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    return new_recorded(args, n, 1);
}

static PyObject *new_leaf(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    return new_recorded(args, n, 0);
}

static PyObject *node_of(PyObject *module, PyObject *arguments, PyObject *options)
{
    (void)module;
    static char *names[] = {"op", "args", "number", "kind", NULL};
    PyObject *op, *args, *number, *kind = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, options, "OO!O|O:node_of", names, &op, &PyTuple_Type, &args, &number,
                                     &kind))
        return NULL;
    if (op != Py_None && !PyObject_TypeCheck(op, PrimitiveType))
        return wrong_type("node_of takes a Primitive or None, got %U", op);
    PyTypeObject *type = kind == Py_None ? NodeType : (PyTypeObject *)kind;
    if (kind != Py_None && (!PyType_Check(kind) || !PyType_IsSubtype(type, NodeType)))
        return PyErr_Format(PyExc_TypeError, "node_of makes Values, not %R", kind);
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    for (Py_ssize_t i = 0; i < n; i++)
        if (!PyFloat_Check(PyTuple_GET_ITEM(args, i)) && !is_node(PyTuple_GET_ITEM(args, i)))
            return wrong_type("the arguments of a node are Values and floats, got %U", PyTuple_GET_ITEM(args, i));
    if ((uint64_t)n > UINT32_MAX)
        return PyErr_Format(PyExc_OverflowError, "a node takes at most %u arguments", UINT32_MAX);
    double data = number == Py_None ? 0.0 : PyFloat_AsDouble(number);
    if (data == -1.0 && PyErr_Occurred())
        return NULL;
    Slot *many = NULL;
    if (n > 2 && !(many = new_slots(n)))
        return NULL;
    Node *z = new_of(type);
    if (!z) {
        PyMem_Free(many);
        return NULL;
    }
    z->data = data;
    if (op != Py_None) {
        Py_INCREF(op);
        z->op = (Primitive *)op;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = PyTuple_GET_ITEM(args, i);
        if (!PyFloat_Check(x)) {
            Py_INCREF(x);
            (many ? many : z->slots)[i].node = (Node *)x;
        } else if (many)
            set_number(many, n, i, PyFloat_AS_DOUBLE(x));
        else {
            z->slots[i].number = PyFloat_AS_DOUBLE(x);
            z->numbers |= (uint8_t)(1 << i);
        }
    }
    if (many)
        z->slots[0].many = many;
    z->n = (uint32_t)n;
    return (PyObject *)z;
}

static PyObject *leaves_of(PyObject *module, PyObject *numbers)
{
    (void)module;
    PyObject *list = PySequence_List(numbers);
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        double number = PyFloat_AsDouble(PyList_GET_ITEM(list, i));
        Node *z = number == -1.0 && PyErr_Occurred() ? NULL : new_value(number);
        if (z)
            PyList_SetItem(list, i, (PyObject *)z);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* copy_fields(xs, field, buffer, store): copy the field "data" or "grad" of each Value in the list `xs` into the buffer
 * of doubles, or with `store` from the buffer to the Values. */
static PyObject *copy_fields(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 4)
        return PyErr_Format(PyExc_TypeError, "copy_fields takes 4 arguments, got %zd", count);
    int is_data = PyUnicode_Compare(args[1], S.str_data) == 0, store = PyObject_IsTrue(args[3]);
    if (store < 0 || PyErr_Occurred())
        return NULL;
    PyObject *name = is_data ? S.str_data : S.str_grad;
    PyObject *items = PySequence_Fast(args[0], "copy_fields takes a list of Values");
    if (!items)
        return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(args[2], &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (store ? 0 : PyBUF_WRITABLE)) < 0) {
        Py_DECREF(items);
        return NULL;
    }
    Py_ssize_t n = view.len / (Py_ssize_t)sizeof(double);
    int wrong = !view.format || strcmp(view.format, "d") || n != PySequence_Fast_GET_SIZE(items);
    if (wrong)
        PyErr_SetString(PyExc_ValueError, "copy_fields takes a buffer of as many doubles as there are Values");
    double *numbers = view.buf;
    for (Py_ssize_t i = 0; !wrong && i < n && i < PySequence_Fast_GET_SIZE(items); i++) {
        PyObject *x = PySequence_Fast_GET_ITEM(items, i);
        if (is_node(x) && ((Node *)x)->plain) {
            double *field = is_data ? &((Node *)x)->data : &((Node *)x)->grad;
            if (store)
                *field = numbers[i];
            else
                numbers[i] = *field;
            continue;
        }
        Py_INCREF(x); /* the attribute of a subclass may be a property, which may change the list */
        PyObject *number = store ? PyFloat_FromDouble(numbers[i]) : PyObject_GetAttr(x, name);
        if (number && store)
            wrong = PyObject_SetAttr(x, name, number) < 0;
        else if (number)
            numbers[i] = PyFloat_AsDouble(number);
        Py_XDECREF(number);
        Py_DECREF(x);
        wrong = wrong || !number || PyErr_Occurred();
    }
    PyBuffer_Release(&view);
    Py_DECREF(items);
    if (wrong)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *numbers_of(PyObject *module, PyObject *xs)
{
    (void)module;
    PyObject *items = PySequence_Fast(xs, "numbers_of takes a list"), *list = NULL;
    if (!items)
        return NULL;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
    list = PyList_New(n);
    for (Py_ssize_t i = 0; list && i < n; i++) {
        if (PySequence_Fast_GET_SIZE(items) != n) { /* a property of a subclass changed the list */
            PyErr_SetString(PyExc_RuntimeError, "a list of Values changed its size while their numbers were read");
            Py_CLEAR(list);
            break;
        }
        PyObject *x = PySequence_Fast_GET_ITEM(items, i);
        double number;
        if (is_node(x)) {
            Py_INCREF(x);
            int wrong = number_of((Node *)x, &number) < 0;
            Py_DECREF(x);
            x = wrong ? NULL : PyFloat_FromDouble(number);
        } else if (PyFloat_CheckExact(x))
            Py_INCREF(x);
        else {
            Py_DECREF(list);
            Py_DECREF(items);
            Py_RETURN_NONE;
        }
        if (x)
            PyList_SET_ITEM(list, i, x);
        else
            Py_CLEAR(list);
    }
    Py_DECREF(items);
    return list;
}

/* neurons(dot, rows, xs, biases): for each row a node dot(*row, bias, *xs, 1.0), or dot(*row, *xs) where `biases` is
 * None; leaves under no_grad. None, and nothing done, unless all are lists and tuples of Values and floats (`xs` also
 * of ints), each row is as long as `xs` and has a Value, and the recorder is EAGER or LEAVES: functions.matvec handles
 * all other cases. */
static PyObject *neurons(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 4 || !PyObject_TypeCheck(args[0], PrimitiveType))
        return PyErr_Format(PyExc_TypeError, "neurons takes dot, rows, xs and biases");
    Primitive *dot = (Primitive *)args[0];
    PyObject *rows = args[1], *xs = args[2], *biases = args[3], *outputs = NULL, *recorder;
    enum Mode mode;
    if (active_recorder(&mode, &recorder) < 0)
        return NULL;
    Py_XDECREF(recorder);
#define IS_LIST(x) (PyList_Check(x) || PyTuple_Check(x))
    if (mode == OTHER || dot->number.arity != MANY || !IS_LIST(rows) || !IS_LIST(xs) ||
        (biases != Py_None && !IS_LIST(biases)))
        Py_RETURN_NONE;
    Py_ssize_t n_rows = PySequence_Fast_GET_SIZE(rows), width = PySequence_Fast_GET_SIZE(xs);
    int biased = biases != Py_None;
    Py_ssize_t half = width + biased, n = 2 * half;
    if (biased && PySequence_Fast_GET_SIZE(biases) != n_rows)
        Py_RETURN_NONE;
    if (n < 4) /* so that there are more than two arguments */
        Py_RETURN_NONE;
    double *right = PyMem_Malloc((size_t)half * sizeof(double));
    outputs = right ? PyList_New(n_rows) : PyErr_NoMemory();
    int handled = 1;
    for (Py_ssize_t i = 0; outputs && handled && i < half; i++) {
        PyObject *x = i < width ? PySequence_Fast_GET_ITEM(xs, i) : NULL;
        if (!x)
            right[i] = 1.0;
        else if (Py_TYPE(x) == NodeType)
            right[i] = ((Node *)x)->data;
        else if (!(PyFloat_Check(x) || PyLong_CheckExact(x)))
            handled = 0;
        else if (to_double(x, dot->name, &right[i]) < 0)
            Py_CLEAR(outputs);
    }
    for (Py_ssize_t r = 0; outputs && handled && r < n_rows; r++) {
        PyObject *row = PySequence_Fast_GET_ITEM(rows, r);
        if (!IS_LIST(row) || PySequence_Fast_GET_SIZE(row) != width) {
            handled = 0;
            break;
        }
        Slot *many = NULL;
        if (mode == EAGER && !(many = new_slots(n))) {
            Py_CLEAR(outputs);
            break;
        }
        double total = -0.0;
        Py_ssize_t filled = 0, values = 0;
        for (; filled < half; filled++) {
            PyObject *w = filled < width ? PySequence_Fast_GET_ITEM(row, filled) : PySequence_Fast_GET_ITEM(biases, r);
            double number;
            if (Py_TYPE(w) == NodeType) {
                values++;
                number = ((Node *)w)->data;
                if (many) {
                    Py_INCREF(w);
                    many[filled].node = (Node *)w;
                }
            } else if (PyFloat_Check(w)) {
                number = PyFloat_AS_DOUBLE(w);
                if (many)
                    set_number(many, n, filled, number);
            } else
                break;
            total += number * right[filled];
        }
        if (filled < half || !values) {
            handled = 0;
            if (many)
                free_slots(many, filled, n);
            break;
        }
        Node *z = new_value(total);
        if (many) {
            for (Py_ssize_t i = 0; i < half; i++) {
                PyObject *x = i < width ? PySequence_Fast_GET_ITEM(xs, i) : NULL;
                if (x && Py_TYPE(x) == NodeType) {
                    Py_INCREF(x);
                    many[half + i].node = (Node *)x;
                } else
                    set_number(many, n, half + i, right[i]);
            }
            if (z)
                take_slots(z, dot, many, n);
            else
                free_slots(many, n, n);
        }
        if (!z)
            Py_CLEAR(outputs);
        else
            PyList_SET_ITEM(outputs, r, (PyObject *)z);
    }
#undef IS_LIST
    PyMem_Free(right);
    if (outputs && !handled) {
        Py_DECREF(outputs);
        Py_RETURN_NONE;
    }
    return outputs;
}

/* register(table): the rows of the table, a dict by name, get their functions in C and may have their rules traced. */
static PyObject *register_rows(PyObject *module, PyObject *table)
{
    (void)module;
    const struct {
        const char *name;
        Primitive **place;
    } operators[] = {
        {"add", &S.add}, {"sub", &S.sub}, {"mul", &S.mul},
        {"div", &S.div}, {"mod", &S.mod}, {"floordiv", &S.floordiv},
        {"pow", &S.pow}, {"neg", &S.neg}, {"pow_const", &S.pow_const},
        {"abs", &S.abs}, {"sum", &S.sum}, {"dot", &S.dot}, {"detach", &S.detach},
    };
    PyObject *key, *row;
    Py_ssize_t at = 0;
    while (PyDict_Next(table, &at, &key, &row)) {
        Primitive *op = (Primitive *)row;
        if (!PyObject_TypeCheck(row, PrimitiveType))
            return PyErr_Format(PyExc_TypeError, "%R is not a Primitive", row);
        for (size_t k = 0; k < sizeof NUMBERS / sizeof *NUMBERS; k++)
            if (!PyUnicode_CompareWithASCIIString(op->name, NUMBERS[k].name))
                op->own_number = NUMBERS[k].number;
        for (size_t k = 0; k < sizeof operators / sizeof *operators; k++)
            if (!PyUnicode_CompareWithASCIIString(op->name, operators[k].name)) {
                Py_INCREF(op);
                Py_XSETREF(*operators[k].place, op);
            }
        Py_INCREF(op->compute);
        Py_XSETREF(op->own_compute, op->compute);
        Py_INCREF(op->partials);
        Py_XSETREF(op->own_partials, op->partials);
        forget(op);
    }
    Py_RETURN_NONE;
}

/* connect(opened, active, eager, leaves, to_float, operate, reflect, backward, lt, le, gt, ge): keep these objects of
 * value.py. */
static PyObject *connect(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject **places[] = {&S.opened,  &S.active,   &S.eager, &S.leaves, &S.to_float, &S.operate,
                           &S.reflect, &S.backward, &S.comparisons[Py_LT], &S.comparisons[Py_LE],
                           &S.comparisons[Py_GT], &S.comparisons[Py_GE]};
    Py_ssize_t n = sizeof places / sizeof *places;
    if (PyTuple_GET_SIZE(args) != n || !PyList_Check(PyTuple_GET_ITEM(args, 0)))
        return PyErr_Format(PyExc_TypeError, "connect takes %zd arguments", n);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = PyTuple_GET_ITEM(args, i);
        Py_INCREF(x);
        Py_XSETREF(*places[i], x);
    }
    Py_RETURN_NONE;
}

/* claim(): an ImportError in every interpreter of this process but the first one to ask. `S` and the types exist once
 * in a process and belong to that interpreter; the others use the Python engine. */
static PyObject *claim(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    static PyInterpreterState *owner;
    if (!owner)
        owner = PyInterpreterState_Get();
    if (owner != PyInterpreterState_Get())
        return PyErr_Format(PyExc_ImportError, "the C engine is in use by another interpreter of this process");
    Py_RETURN_NONE;
}


static PyMethodDef functions[] = {
    {"topological_order", FAST(topological_order), METH_FASTCALL,
     "topological_order($module, /, *roots)\n--\n\n"
     "Every node that the roots are made from, the roots included, each once and after its arguments.\n\n"
     "    Arguments are visited in order, so the same graph always gives the same list. Linear in the edges, at any "
     "depth. A\n    TypeError if a root is not a Value.\n\n    >>> from autograd_lite import Value\n    >>> a = Value(2.0)\n"
     "    >>> [node.data for node in topological_order(a * a + 1.0)]\n    [2.0, 4.0, 5.0]\n    "},
    {"dependents", FAST(dependents), METH_FASTCALL, NULL},
    {"node_of", FAST(node_of), METH_VARARGS | METH_KEYWORDS, NULL},
    {"new_node", FAST(new_node), METH_FASTCALL, NULL},
    {"new_leaf", FAST(new_leaf), METH_FASTCALL, NULL},
    {"leaves_of", leaves_of, METH_O, NULL},
    {"numbers_of", numbers_of, METH_O, NULL},
    {"copy_fields", FAST(copy_fields), METH_FASTCALL, NULL},
    {"neurons", FAST(neurons), METH_FASTCALL, NULL},
    {"method", new_method, METH_VARARGS, NULL},
    {"register", register_rows, METH_O, NULL},
    {"connect", connect, METH_VARARGS, NULL},
    {"connect_trace", connect_trace, METH_VARARGS, NULL},
    {"sum_of_products", sum_of_products, METH_O, NULL},
    {"tangents_of", FAST(tangents_of), METH_FASTCALL, NULL},
    {"add_products", FAST(add_products), METH_FASTCALL, NULL},
    {"simplify", FAST(simplify), METH_FASTCALL, NULL},
    {"outlined", FAST(outlined), METH_FASTCALL, NULL},
    {"claim", claim, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "autograd_lite._core",
    .m_doc = "The engine in C. value.py, graph.py and primitives.py say what it does.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    S.clock = 1;
    S.str_record = PyUnicode_InternFromString("record");
    S.str_data = PyUnicode_InternFromString("data");
    S.str_grad = PyUnicode_InternFromString("grad");
    S.str_watch = PyUnicode_InternFromString("watch_backward");
    S.empty = PyUnicode_InternFromString("");
    PrimitiveType = (PyTypeObject *)PyType_FromSpec(&primitive_spec);
    NodeType = (PyTypeObject *)PyType_FromSpec(&value_spec);
    MethodType = (PyTypeObject *)PyType_FromSpec(&method_spec);
    T.str_operand = PyUnicode_InternFromString("operand");
    T.str_constant = PyUnicode_InternFromString("constant");
    OperationsType = (PyTypeObject *)PyType_FromSpec(&operations_spec);
    NumberedType = NodeType ? (PyTypeObject *)PyType_FromSpecWithBases(&numbered_spec, (PyObject *)NodeType) : NULL;
    if (!T.str_operand || !T.str_constant || !OperationsType || !NumberedType)
        goto failed;
    if (!PrimitiveType || !NodeType || !MethodType || !S.str_record || !S.str_data || !S.str_grad || !S.str_watch ||
        !S.empty)
        goto failed;
    NodeType->tp_name = "Value", PrimitiveType->tp_name = "Primitive"; /* without the module, as in Python's messages */
    NodeType->tp_vectorcall = call_value_type;
    if (PyModule_AddObjectRef(module, "Value", (PyObject *)NodeType) < 0 ||
        PyModule_AddObjectRef(module, "Primitive", (PyObject *)PrimitiveType) < 0 ||
        PyModule_AddObjectRef(module, "Numbered", (PyObject *)NumberedType) < 0 ||
        PyModule_AddObjectRef(module, "Operations", (PyObject *)OperationsType) < 0)
        goto failed;
    return module;
failed:
    Py_DECREF(module);
    return NULL;
}
