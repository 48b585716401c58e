"""From a graph of scalars to a program of wide instructions, and the executors that run it.

An executor module has one function, `executor(program)`, which gives the function that runs it:

    run(n, rows, captured) -> (results, sums)

`rows` holds n rows of `program.inputs` float64 one after the other, and `captured` holds `program.captured` of them;
both are contiguous buffers (`array("d")`, a NumPy array), and `rows` may be a tuple of them that stand side by side.
What it gives is n rows of `len(program.results)` numbers, and `len(program.sums)` numbers, in flat buffers.
"""
