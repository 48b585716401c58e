"""The compiler: from a graph of scalars to a program of few wide instructions.

trace       run scalar code on Symbols; record a graph
rewrite     simplify one operation, as it is recorded
simplify    normalise a whole graph: few large sums of products
loops       a loop as one node of a trace, and its derivatives
branches    a condition in a trace
sides       what is needed only where a condition is true, or only where it is false
schedule    graph -> program: nodes of one level and primitive become one instruction
program     the data structure that executors run
pipeline    programs that run one after another, around and inside loops
executors   run a program: straight-line Python, arrays, the C kernel
compiled    one function for one structure of arguments, with its programs and derivatives
arguments   from a call's arguments to flat buffers of numbers
backends    which executors exist, and which can run here
jit         what users call; caches by the structure of arguments
rule        an optimiser's update rule, compiled
trainer     optimiser steps on arrays
export      source files and ONNX models
errors      CompileError
"""
