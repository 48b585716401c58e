"""From a graph of scalars to a program of wide instructions, and the executors that run it."""
