/* POINTWISE instructions on a block of one row: the lanes of the largest kind run along the points of an instruction.
   Included by kernel_lanes.h for the kind `plain`. */

/* An operand at `count` points from `first` on, for routines of `lanes` lanes: in memory where its numbers are side by
   side, else a copy in `copied`. A number that is the same at all points fills one register, with step 0. */
static Line line_of_row(const Operand *x, const Workspace *workspace, ptrdiff_t I, ptrdiff_t first, ptrdiff_t count,
                        int lanes, double *copied) {
    const bool one_line = !x->table && (x->flat || (first % I == 0 && count <= I));
    const double *from = x->shared ? workspace->shared : workspace->rows;
    from += x->start + (x->flat ? first * x->step : first / I * x->outer);
    if (one_line && (x->step == 1 || lanes == 1))
        return (Line){from, x->step * lanes};
    if (one_line && x->step == 0) {
        for (int l = 0; l < lanes; l++)
            copied[l] = *from;
        return (Line){copied, 0};
    }
    copy_plain(x, workspace, I, first, count, copied);
    return (Line){copied, lanes};
}

/* Run a POINTWISE instruction: line by line if its operands need no copies, else CHUNK points at a time. */
static void pointwise_plain(const Instruction *q, const Workspace *workspace, double *dst) {
    const Kind *kind = workspace->kind;
    const int lanes = q->width < kind->lanes ? 1 : kind->lanes;
    const Function of_one = FUNCTIONS_plain[q->opcode], function = lanes == 1 ? of_one : kind->functions[q->opcode];
    bool flat = true, in_place = true;
    for (int a = 0; a < q->arity; a++) {
        const Operand *x = q->operands + a;
        flat = flat && x->flat;
        in_place = in_place && !x->table && (lanes == 1 || x->step == 0 || x->step == 1);
    }
    const ptrdiff_t chunk = in_place && flat ? q->width : in_place && q->I >= CHUNK ? q->I : CHUNK;
    for (ptrdiff_t first = 0; first < q->width; first += chunk, dst += chunk) {
        const ptrdiff_t count = q->width - first < chunk ? q->width - first : chunk;
        const ptrdiff_t whole = count / lanes, rest = count - whole * lanes;
        bool dense = true;
        Line lines[3];
        for (int a = 0; a < q->arity; a++) {
            lines[a] = line_of_row(q->operands + a, workspace, q->I, first, count, lanes, workspace->lines + a * CHUNK);
            dense = dense && lines[a].step == lanes;
        }
        if (whole)
            function(lines, dense ? 1 : whole, dense ? whole : 1, dst, lanes);
        if (rest) { /* the last register overlaps the one before */
            const ptrdiff_t back = whole ? count - lanes : 0;
            for (int a = 0; a < q->arity; a++) {
                lines[a].first += lines[a].step ? back : 0;
                lines[a].step = whole || !lines[a].step ? lines[a].step : 1;
            }
            if (whole)
                function(lines, 1, 1, dst + back, lanes);
            else
                of_one(lines, rest, 1, dst, 1);
        }
    }
}
