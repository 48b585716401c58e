"""People's own training loop beside PyTorch eager doing the same, and micrograd's demo under `@jit`.

    python tests/benchmarks/loop.py

The network is 2-16-16-1 on 100 moons, full batch, with a hinge loss and SGD: 337 parameters. Both sides compute in
float64 on one thread, start from the same weights, take turns in one process, and get new inputs at each step. A time
is CPU time per step, the smallest of many short runs, so that other processes disturb it little.
"""

import random
import sys
import time
from pathlib import Path

import numpy as np
import torch

import nn
from autograd_lite import jit

sys.path.insert(0, str(Path(__file__).parents[2] / "demos"))
from moons import make_moons

RUNS, STEPS = 30, 20
X, Y = (np.array(column, dtype=float) for column in make_moons(100, noise=0.1, seed=1))
BATCHES = [(X + 0.01 * k, Y) for k in range(STEPS)]  # new inputs at each step


def network():
    return nn.MLP(2, [16, 16, 1], seed=1)


def in_torch(model):
    """The same layers, with the same numbers."""
    layers = [torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)]
    theirs = torch.nn.Sequential(*layers).double()
    theirs.load_state_dict({name: torch.tensor(array).double() for name, array in model.state_dict().items()})
    return theirs


def our_loop():
    model = network()
    optimizer = nn.SGD(model.parameters(), lr=0.01)

    @jit
    def loss(x, y):
        return nn.hinge(model(x), y)

    def step(X, Y):
        total = loss.mean(X, Y)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.data

    return step, BATCHES


def their_loop():
    model = in_torch(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step(X, Y):
        total = torch.relu(1.0 - Y * model(X)[:, 0]).mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return total.item()

    return step, [(torch.tensor(X), torch.tensor(Y)) for X, Y in BATCHES]


def our_demo():
    """micrograd's demo: the loss over all rows, written out in a function, with its accuracy left out."""
    model = network()

    @jit
    def loss(rows, labels):
        scores = list(map(model, rows))
        losses = [(1 + -yi * si).relu() for yi, si in zip(labels, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        reg_loss = 1e-4 * sum(p * p for p in model.parameters())
        return data_loss + reg_loss

    def step(rows, labels):
        total = loss(rows, labels)
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= 0.01 * p.grad
        return total.data

    return step, [(X.tolist(), Y.tolist()) for X, Y in BATCHES]


def their_demo():
    model = in_torch(network())

    def step(X, Y):
        total = (1.0 + -Y * model(X)[:, 0]).relu().mean() + 1e-4 * sum((p * p).sum() for p in model.parameters())
        model.zero_grad()
        total.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.01 * p.grad
        return total.item()

    return step, [(torch.tensor(X), torch.tensor(Y)) for X, Y in BATCHES]


def seconds(step, batches):
    start = time.process_time()
    for batch in batches:
        step(*batch)
    return (time.process_time() - start) / len(batches)


def race(title, *sides):
    """Run both sides in turns, and print a row of the table."""
    started = [side() for side in sides]
    losses = [[step(*batch) for batch in batches] for step, batches in started]  # compiles, too
    difference = max(abs(a - b) for a, b in zip(*losses, strict=True))
    assert difference < 1e-9, difference
    best = [float("inf")] * 2
    for _ in range(RUNS):
        for k, side in enumerate(started):
            best[k] = min(best[k], seconds(*side))
    print(f"{title:38}{best[0] * 1e6:9.0f} us{best[1] * 1e6:9.0f} us{best[1] / best[0]:9.1f}x", flush=True)


def parts():
    """The parts of a step of people's loop."""
    model = network()
    optimizers = {"SGD.step": nn.SGD(model.parameters(), lr=1e-4), "Adam.step": nn.Adam(model.parameters(), lr=1e-4)}
    loss = jit(lambda x, y: nn.hinge(model(x), y))
    total = loss.mean(X, Y)
    total.backward()
    actions = {
        "loss.mean(X, Y)": lambda: loss.mean(X, Y), "zero_grad": optimizers["SGD.step"].zero_grad,
        "backward": total.backward, **{name: optimizer.step for name, optimizer in optimizers.items()},
        "model.parameters()": model.parameters,
    }  # fmt: skip
    for name, action in actions.items():
        action()
        best = min(seconds(action, [()] * STEPS) for _ in range(RUNS))
        print(f"    {name:34}{best * 1e6:9.0f} us")


def filming():
    """What recording a training and writing its film cost."""

    def training(callbacks):
        model = network()
        optimizer = nn.SGD(model.parameters(), lr=0.1)
        return nn.fit(model, X, Y, nn.hinge, optimizer, 200, 10, callbacks=callbacks, verbose=False)

    plain = recorded = film = float("inf")
    for _ in range(3):
        start = time.process_time()
        training([])
        plain = min(plain, time.process_time() - start)
        start = time.process_time()
        history = training([nn.Recording()])
        recorded = min(recorded, time.process_time() - start)
        start = time.process_time()
        path = nn.film(history, Path(sys.argv[1] if len(sys.argv) > 1 else "film.html"))
        film = min(film, time.process_time() - start)
    size, frames = path.stat().st_size, min(160, len(history.recording.frames))
    path.unlink()
    print(f"recording: {(recorded - plain) / 200 * 1e6:.0f} us an epoch, of {plain / 200 * 1e6:.0f} us of training")
    print(f"film of {frames} frames: {film:.2f} s, {size / 1e6:.1f} MB")


def main():
    random.seed(0)
    torch.set_num_threads(1)
    print(f"{'':38}autograd-lite     PyTorch    ratio")
    race("loop: mean, zero_grad, backward, step", our_loop, their_loop)
    race("micrograd's demo under @jit", our_demo, their_demo)
    parts()
    filming()


if __name__ == "__main__":
    main()
