"""From a graph of scalars to a program of wide instructions, and the executors that run it.

An executor module has two functions, `executor(program)` and `writer(program)`. They give functions that run it:

    run(n, rows, captured) -> (results, sums)
    write(n, rows, captured, results, sums)

`rows` holds n rows of `program.inputs` float64 one after the other, and `captured` holds `program.captured` of them;
both are contiguous buffers (`array("d")`, a NumPy array), and `rows` may be a tuple of them that stand side by side.
What `run` gives is n rows of `len(program.results)` numbers, and `len(program.sums)` numbers, in flat buffers; `write`
puts it into buffers, of which `results` may be a tuple, side by side.
"""
