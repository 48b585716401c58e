"""One training step of an MLP(2, [16, 16, 1]) on 100 moons: our nn against micrograd's own, in one process.

    python tests/benchmarks/moons_step_nn.py [rounds]

The step is forward, hinge loss, zero_grad, backward and SGD with weight decay, on the same weights. Prints the medians
of interleaved rounds and their ratio.
"""

import gc
import math
import random
import statistics
import sys
import time

import micrograd.engine
import micrograd.nn

import nn

POINTS, LR, DECAY = 100, 0.05, 2e-4


def moons(n, rng):
    angles = [math.pi * i / (n // 2 - 1) for i in range(n // 2)]
    rows = [(math.cos(a), math.sin(a)) for a in angles] + [(1 - math.cos(a), 0.5 - math.sin(a)) for a in angles]
    return [[x + rng.gauss(0, 0.1), y + rng.gauss(0, 0.1)] for x, y in rows], [-1.0] * (n // 2) + [1.0] * (n // 2)


def our_step(model, optimizer, X, Y):
    loss = nn.hinge([model(x) for x in X], Y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.data


def their_step(model, X, Y):
    losses = [(1 + -y * model(list(map(micrograd.engine.Value, x)))).relu() for x, y in zip(X, Y, strict=True)]
    loss = sum(losses) * (1.0 / len(losses))
    total = loss + DECAY / 2 * sum(p * p for p in model.parameters())
    model.zero_grad()
    total.backward()
    for p in model.parameters():
        p.data -= LR * p.grad
    return loss.data


def seconds(step, *args):
    gc.collect()  # nobody pays for another's garbage
    start = time.perf_counter()
    loss = step(*args)
    return time.perf_counter() - start, loss


def main(rounds=5):
    X, Y = moons(POINTS, random.Random(0))
    theirs = micrograd.nn.MLP(2, [16, 16, 1])
    ours = nn.MLP(2, [16, 16, 1])
    for layer, their_layer in zip(ours.layers, theirs.layers, strict=True):
        for neuron, their_neuron in zip(layer.neurons, their_layer.neurons, strict=True):
            for p, q in zip((*neuron.w, neuron.b), their_neuron.parameters(), strict=True):
                p.data = q.data
    optimizer = nn.SGD(ours.parameters(), lr=LR, weight_decay=DECAY)
    our_times, their_times = [], []
    for _ in range(rounds):
        for _ in range(9):
            elapsed, loss = seconds(our_step, ours, optimizer, X, Y)
            our_times.append(elapsed)
        elapsed, their_loss = seconds(their_step, theirs, X, Y)
        their_times.append(elapsed)
    ours_ms, theirs_ms = (1e3 * statistics.median(times) for times in (our_times, their_times))
    print(f"one step: {ours_ms:.1f} ms, micrograd {theirs_ms:.1f} ms: {theirs_ms / ours_ms:.1f}x")
    print(f"loss now: {loss:.6f} after {9 * rounds} steps, micrograd {their_loss:.6f} after {rounds}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
