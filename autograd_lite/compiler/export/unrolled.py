"""Loops for export: the steps of `scan` and `fori_loop` are written out one after the other, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd_lite.calls import item
from autograd_lite.compiler.loops import Loop
from autograd_lite.compiler.trace import Trace
from autograd_lite.graph import topological_order
from autograd_lite.recording import recording_with

LIMIT = 3000  # operations in all steps of all loops, at most, that are written out; the derivatives have more


def unrolled(trace: Trace, roots: Sequence[Any], language: str) -> tuple[list[Any], list[str]]:
    """`roots` computed without loops, recorded into `trace`, and for each loop what it was: "the 20 steps of scan".

    A ValueError if `language` is ONNX, if a loop runs until a condition is 0, or if the steps of all loops together
    have more than `LIMIT` operations.
    """
    order = topological_order(*[x for x in roots if type(x) is not float])
    loops = [node.op for node in order if isinstance(node.op, Loop)]
    if not loops:
        return list(roots), []
    if language == "ONNX":
        raise ValueError(
            f"export: an .onnx model has no loops, and the function uses {loops[0].name}: write it with Python's for, "
            "or export scan and fori_loop to .c, .py or .js"
        )
    count = sum([_operations(op, language) for op in loops])
    if count > LIMIT:
        raise ValueError(
            f"export: the steps of {loops[0].name} are written out one after the other, up to {LIMIT} operations in "
            f"all, and here there are {count}: export one step, and write the loop in {language}"
        )
    new: dict[Any, Any] = {}
    with recording_with(trace):
        for node in order:
            args = [x if type(x) is float else new[x] for x in node.args]
            if isinstance(node.op, Loop) or node.op is item:
                new[node] = node.op(*args)
            else:
                new[node] = node if node.op is None else trace.make(node.op, tuple([trace.operand(x) for x in args]))
    steps = [f"the {max(op.n, 0)} steps of {op.name}" for op in loops]
    return [x if type(x) is float else trace.operand(new[x]) for x in roots], list(dict.fromkeys(steps))


def _operations(loop: Loop, language: str) -> int:
    """How many operations all steps of `loop` have, with those of the loops in its body."""
    if loop.conditional:
        raise ValueError(
            f"export: {language} source has the steps of a loop written out, and how many {loop.name} runs is not "
            "known: use scan or fori_loop"
        )
    order = topological_order(*[x for x in (*loop.body.next, *loop.columns) if type(x) is not float])
    inner = [_operations(x.op, language) if isinstance(x.op, Loop) else 1 for x in order if x.op is not None]
    return max(loop.n, 0) * sum(inner)
