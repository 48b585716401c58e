/* Part of _core.c: the normal form of a graph of Symbols.
 *
 * compiler/simplify.py defines `simplify`, step by step under the same names; this file does the same faster.
 */

/* A term of a sum: x * y, or x alone where y is NULL. Symbols and floats, which the term owns. */
typedef struct {
    PyObject *x, *y;
} Term;

typedef struct {
    Term *at;
    size_t used, capacity;
} Terms;

/* What is known of a node while its graph is simplified. */
typedef struct {
    Node *node;        /* NULL: this node is not in the graph */
    PyObject *simpler; /* its operand in the new graph, once there is one */
    uint32_t uses;     /* how many arguments and roots it is */
    char absorbed;     /* 1: its terms are terms of the one sum that uses it */
} Fact;

typedef struct {
    Operations *trace;
    Fact *facts; /* by `index` */
    size_t n_facts;
} Simplification;

static void free_terms(Terms *terms)
{
    for (size_t i = 0; i < terms->used; i++) {
        Py_DECREF(terms->at[i].x);
        Py_XDECREF(terms->at[i].y);
    }
    PyMem_Free(terms->at);
    *terms = (Terms){0};
}

/* Append x * y, and take over the references, also after an error. */
static int append_term(Terms *terms, PyObject *x, PyObject *y)
{
    if (grow(&terms->at, &terms->capacity, terms->used, sizeof(Term)) < 0) {
        Py_DECREF(x);
        Py_XDECREF(y);
        return -1;
    }
    terms->at[terms->used++] = (Term){x, y};
    return 0;
}

/* Argument i of z, a new reference. */
static PyObject *argument(Node *z, Py_ssize_t i)
{
    Slot slot = slots_of(z)[i];
    if (is_number(z, i))
        return PyFloat_FromDouble(slot.number);
    Py_INCREF(slot.node);
    return (PyObject *)slot.node;
}

static inline int is_sum(const Primitive *op)
{
    return op && (op == S.add || (op->factors && PyObject_IsTrue(op->factors) == 1));
}

static inline int in_row(PyObject *x) { return x && !PyFloat_CheckExact(x) && ((Numbered *)x)->row; }

static inline int is_one(PyObject *x) { return PyFloat_CheckExact(x) && PyFloat_AS_DOUBLE(x) == 1.0; }

static inline Fact *fact_of(const Simplification *s, const Node *x) { return &s->facts[((const Numbered *)x)->index]; }

/* Append the terms that a sum or a product adds up. */
static int append_products(Terms *terms, Node *z)
{
    if (z->op != S.mul && z->op != S.dot) {
        for (Py_ssize_t i = 0; i < z->n; i++) {
            PyObject *x = argument(z, i);
            if (!x || append_term(terms, x, NULL) < 0)
                return -1;
        }
        return 0;
    }
    Py_ssize_t half = z->n / 2;
    for (Py_ssize_t i = 0; i < half; i++) {
        PyObject *x = argument(z, i), *y = argument(z, half + i);
        if (!x || !y) {
            Py_XDECREF(x);
            Py_XDECREF(y);
            return -1;
        }
        if (z->op == S.dot && is_one(x)) {
            Py_DECREF(x);
            x = y, y = NULL;
        } else if (z->op == S.dot && is_one(y))
            Py_CLEAR(y);
        if (append_term(terms, x, y) < 0)
            return -1;
    }
    return 0;
}

static void reverse(Terms *terms, size_t from)
{
    for (size_t i = from, j = terms->used; i + 1 < j; i++) {
        Term last = terms->at[--j];
        terms->at[j] = terms->at[i];
        terms->at[i] = last;
    }
}

/* The operand for x in the new graph. Takes over the reference to x. */
static PyObject *renewed(const Simplification *s, PyObject *x)
{
    PyObject *simpler = x && !PyFloat_CheckExact(x) ? fact_of(s, (Node *)x)->simpler : NULL;
    if (!simpler)
        return x;
    Py_INCREF(simpler);
    Py_DECREF(x);
    return simpler;
}

/* The terms of `root` from left to right, with those of the nodes it absorbed, as operands of the new graph. */
static int find_terms(const Simplification *s, Node *root, Terms *terms)
{
    Terms stack = {0};
    int failed = append_products(&stack, root) < 0;
    reverse(&stack, 0);
    while (!failed && stack.used) {
        Term term = stack.at[--stack.used];
        if (!term.y && !PyFloat_CheckExact(term.x) && fact_of(s, (Node *)term.x)->absorbed) {
            size_t from = stack.used;
            failed = append_products(&stack, (Node *)term.x) < 0;
            Py_DECREF(term.x);
            reverse(&stack, from);
            continue;
        }
        PyObject *factors[] = {renewed(s, term.x), renewed(s, term.y)};
        if (factors[1]) {
            PyObject *simpler = rewritten(S.mul, factors, 2);
            if (simpler != Py_None) { /* or an error */
                Py_DECREF(factors[0]);
                Py_DECREF(factors[1]);
                factors[0] = simpler ? settle(s->trace, simpler) : NULL;
                factors[1] = NULL;
                failed = !factors[0];
            } else
                Py_DECREF(simpler);
        }
        failed = failed || append_term(terms, factors[0], factors[1]) < 0;
    }
    free_terms(&stack);
    return failed ? -1 : 0;
}

/* Move `terms` to `merged`, with (c + c) * x in place of c * x + c * x. */
static int merge_terms(Terms *terms, Terms *merged)
{
    size_t products = 0, capacity = 4;
    for (size_t i = 0; i < terms->used; i++)
        products += terms->at[i].y && (PyFloat_CheckExact(terms->at[i].x) || PyFloat_CheckExact(terms->at[i].y));
    while (capacity < 2 * products)
        capacity *= 2;
    struct {
        uint64_t c;
        PyObject *x;
        size_t n;
    } *places = products > 1 ? PyMem_Calloc(capacity, sizeof *places) : NULL; /* of the first term with this c and x */
    if (products > 1 && !places) {
        PyErr_NoMemory();
        return -1;
    }
    int failed = 0;
    size_t used = terms->used;
    terms->used = 0; /* their references go to `merged` */
    for (size_t i = 0; i < used; i++) {
        PyObject *x = terms->at[i].x, *y = terms->at[i].y;
        if (failed) {
            Py_DECREF(x);
            Py_XDECREF(y);
            continue;
        }
        if (y && PyFloat_CheckExact(y) && !PyFloat_CheckExact(x)) {
            PyObject *c = y;
            y = x, x = c;
        }
        double c = y && PyFloat_CheckExact(x) ? PyFloat_AS_DOUBLE(x) : 0.0;
        if (places && c != 0.0 && isfinite(c)) {
            size_t at = (size_t)mixed(bits_of(c), (uint64_t)(uintptr_t)y) & (capacity - 1);
            while (places[at].x && (places[at].x != y || places[at].c != bits_of(c)))
                at = (at + 1) & (capacity - 1);
            if (places[at].x) {
                Term *first = &merged->at[places[at].n];
                double total = PyFloat_AS_DOUBLE(first->x) + c;
                if (isfinite(total)) {
                    Py_DECREF(x);
                    Py_DECREF(y);
                    PyObject *sum = PyFloat_FromDouble(total);
                    failed = !sum;
                    if (sum)
                        Py_SETREF(first->x, sum);
                    continue;
                }
            } else {
                places[at].c = bits_of(c);
                places[at].x = y;
                places[at].n = merged->used;
            }
        }
        failed = append_term(merged, x, y) < 0;
    }
    PyMem_Free(places);
    return failed ? -1 : 0;
}

/* z + the sum of the products `pairs`, as a dot. Takes over the reference to z. */
static PyObject *dot_of(Operations *trace, PyObject *z, const Terms *pairs)
{
    size_t half = pairs->used + 1;
    PyObject *one = PyFloat_FromDouble(1.0), **args = PyMem_Malloc(2 * half * sizeof *args), *dot = NULL;
    if (args && one) {
        args[0] = one;
        args[half] = z;
        for (size_t i = 0; i < pairs->used; i++) {
            args[i + 1] = pairs->at[i].x;
            args[half + i + 1] = pairs->at[i].y;
        }
        dot = make_operand(trace, S.dot, args, (Py_ssize_t)(2 * half));
    } else if (!args)
        PyErr_NoMemory();
    PyMem_Free(args);
    Py_XDECREF(one);
    Py_DECREF(z);
    return dot;
}

/* The sum of the terms without a second factor. */
static PyObject *plain_sum(Operations *trace, const Terms *plain)
{
    if (!plain->used)
        return PyFloat_FromDouble(-0.0);
    if (plain->used == 1) {
        Py_INCREF(plain->at[0].x);
        return plain->at[0].x;
    }
    PyObject **args = PyMem_Malloc(plain->used * sizeof *args), *z;
    if (!args)
        return PyErr_NoMemory();
    for (size_t i = 0; i < plain->used; i++)
        args[i] = plain->at[i].x;
    z = make_operand(trace, plain->used > 2 ? S.sum : S.add, args, (Py_ssize_t)plain->used);
    PyMem_Free(args);
    return z;
}

/* The operand for the sum of `terms`, normalised. Takes the terms. */
static PyObject *normalised_sum(Operations *trace, Terms *terms)
{
    Terms merged = {0}, shared = {0}, plain = {0}, pairs[4] = {{0}}; /* pairs: by whether the factors are in rows */
    PyObject *z = NULL;
    if (merge_terms(terms, &merged) < 0)
        goto done;
    size_t rows = 0;
    for (size_t i = 0; i < merged.used; i++)
        rows += in_row(merged.at[i].x) || in_row(merged.at[i].y);
    if (rows && rows < merged.used) { /* the sum of the shared terms is the first of the others */
        size_t kept = 0, all = merged.used;
        Terms others = {0};
        for (size_t i = 0; i < all; i++) {
            Term term = merged.at[i];
            if (in_row(term.x) || in_row(term.y))
                merged.at[kept++] = term;
            else if (append_term(&others, term.x, term.y) < 0) {
                for (i++; i < all; i++)
                    merged.at[kept++] = merged.at[i];
                merged.used = kept;
                free_terms(&others);
                goto done;
            }
        }
        merged.used = kept;
        PyObject *first = normalised_sum(trace, &others);
        free_terms(&others);
        if (!first || append_term(&shared, first, NULL) < 0)
            goto done;
    }
    size_t n = shared.used + merged.used;
    for (size_t i = 0; i < n; i++) {
        Term *term = i < shared.used ? &shared.at[i] : &merged.at[i - shared.used];
        PyObject *factors[] = {term->x, term->y};
        if (term->y && n == 1) {
            z = make_operand(trace, S.mul, factors, 2);
            goto done;
        }
        if (term->y && rank_of(term->y) < rank_of(term->x))
            factors[0] = term->y, factors[1] = term->x;
        Py_INCREF(factors[0]);
        Py_XINCREF(factors[1]);
        Terms *where = term->y ? &pairs[2 * in_row(factors[0]) + in_row(factors[1])] : &plain;
        if (append_term(where, factors[0], factors[1]) < 0)
            goto done;
    }
    z = plain_sum(trace, &plain);
    for (int kind = 0; z && kind < 4; kind++)
        if (pairs[kind].used)
            z = dot_of(trace, z, &pairs[kind]);
done:
    free_terms(&merged);
    free_terms(&shared);
    free_terms(&plain);
    for (int kind = 0; kind < 4; kind++)
        free_terms(&pairs[kind]);
    return z;
}

/* `op` of z on the operands of the new graph; z itself if they are its own. */
static PyObject *renewed_node(const Simplification *s, Node *z)
{
    Slot *slots = slots_of(z);
    int same = 1;
    for (Py_ssize_t i = 0; same && i < z->n; i++)
        if (!is_number(z, i)) {
            Fact *fact = fact_of(s, slots[i].node);
            same = !fact->simpler || fact->simpler == (PyObject *)slots[i].node;
        }
    if (same) {
        Py_INCREF(z);
        return (PyObject *)z;
    }
    PyObject *small[8] = {NULL}, **args = z->n > 8 ? PyMem_Malloc(z->n * sizeof *args) : small, *renewed_z = NULL;
    if (!args)
        return PyErr_NoMemory();
    Py_ssize_t filled = 0;
    for (; filled < z->n; filled++)
        if (!(args[filled] = renewed(s, argument(z, filled))))
            goto done;
    renewed_z = make_operand(s->trace, z->op, args, z->n);
done:
    while (filled)
        Py_DECREF(args[--filled]);
    if (args != small)
        PyMem_Free(args);
    return renewed_z;
}

/* Mark the terms that the sum z absorbs: sums and products that nothing else uses. */
static void absorb(const Simplification *s, Node *z)
{
    Slot *slots = slots_of(z);
    Py_ssize_t half = z->op == S.dot ? z->n / 2 : 0;
    for (Py_ssize_t i = 0; i < z->n; i++) {
        if (half) { /* a term has no second factor if one of the two is 1 */
            Py_ssize_t other = i < half ? i + half : i - half;
            if (!is_number(z, other) || slots[other].number != 1.0)
                continue;
        }
        if (is_number(z, i))
            continue;
        Fact *fact = fact_of(s, slots[i].node);
        if (fact->uses == 1 && (slots[i].node->op == S.mul || is_sum(slots[i].node->op)))
            fact->absorbed = 1;
    }
}

/* Fill `facts` for the graph `order`. 1: done. 0: it has nodes of another trace. -1: an error. */
static int find_facts(Simplification *s, Node **order, Py_ssize_t count)
{
    s->n_facts = (size_t)s->trace->made + 1;
    if (!(s->facts = PyMem_Calloc(s->n_facts, sizeof(Fact)))) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t index = is_numbered((PyObject *)order[i]) ? ((Numbered *)order[i])->index : 0;
        if (index <= 0 || (size_t)index >= s->n_facts || s->facts[index].node)
            return 0;
        s->facts[index].node = order[i];
        Slot *slots = slots_of(order[i]);
        for (Py_ssize_t k = 0; k < order[i]->n; k++)
            if (!is_number(order[i], k))
                fact_of(s, slots[k].node)->uses++;
    }
    return 1;
}

/* simplify(trace, roots), as simplify.py has it; None if the graph has nodes of another trace. */
static PyObject *simplify(PyObject *module, PyObject *const *args, Py_ssize_t n_args)
{
    (void)module;
    if (n_args != 2 || !PyObject_TypeCheck(args[0], OperationsType))
        return PyErr_Format(PyExc_TypeError, "simplify takes a Trace and the roots of a graph");
    PyObject *roots = PySequence_Tuple(args[1]), *results = NULL, **nodes = NULL;
    if (!roots)
        return NULL;
    Simplification s = {.trace = (Operations *)args[0]};
    Node **order = NULL;
    Py_ssize_t n_roots = PyTuple_GET_SIZE(roots), n_nodes = 0, count = 0;
    if (!(nodes = PyMem_Malloc(((size_t)n_roots + 1) * sizeof *nodes))) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < n_roots; i++) {
        PyObject *x = PyTuple_GET_ITEM(roots, i);
        if (PyFloat_CheckExact(x))
            continue;
        if (!is_numbered(x)) {
            wrong_type("simplify takes Symbols and floats, got %U", x);
            goto done;
        }
        nodes[n_nodes++] = x;
    }
    if (!(order = walk(nodes, n_nodes, &count)))
        goto done;
    int ours = find_facts(&s, order, count);
    if (ours <= 0) {
        if (!ours)
            results = Py_None, Py_INCREF(results);
        goto done;
    }
    for (Py_ssize_t i = 0; i < n_nodes; i++)
        fact_of(&s, (Node *)nodes[i])->uses++;
    for (Py_ssize_t i = 0; i < count; i++)
        if (is_sum(order[i]->op))
            absorb(&s, order[i]);
    for (Py_ssize_t i = 0; i < count; i++) {
        Node *z = order[i];
        Fact *fact = fact_of(&s, z);
        if (fact->absorbed)
            continue;
        int sums = is_sum(z->op);
        if (sums && z->op == S.add) { /* a sum of two terms that absorbs neither stays an addition */
            sums = 0;
            for (int k = 0; k < 2; k++)
                sums |= !is_number(z, k) && fact_of(&s, z->slots[k].node)->absorbed;
        }
        if (z->op && z->op == S.detach)
            fact->simpler = renewed(&s, argument(z, 0));
        else if (!sums)
            fact->simpler = renewed_node(&s, z);
        else {
            Terms terms = {0};
            if (find_terms(&s, z, &terms) == 0)
                fact->simpler = normalised_sum(s.trace, &terms);
            free_terms(&terms);
        }
        if (!fact->simpler || ((i + 1) % SIGNALS_EVERY == 0 && PyErr_CheckSignals() < 0))
            goto done;
    }
    results = PyList_New(n_roots);
    for (Py_ssize_t i = 0; results && i < n_roots; i++) {
        PyObject *x = PyTuple_GET_ITEM(roots, i);
        Py_INCREF(x);
        PyList_SET_ITEM(results, i, renewed(&s, x));
    }
done:
    for (size_t i = 0; s.facts && i < s.n_facts; i++)
        Py_XDECREF(s.facts[i].simpler);
    PyMem_Free(s.facts);
    PyMem_Free(order);
    PyMem_Free(nodes);
    Py_DECREF(roots);
    return results;
}
