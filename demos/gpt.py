"""A GPT in scalars: learns to make up names, letter by letter.

    python demos/gpt.py                    compiled: eight names at a time
    python demos/gpt.py --eager --steps 3  the same code, one number at a time

One layer, 4 heads, RMS norm, a ReLU perceptron and Adam, written for one name; compiled for each length of names.
"""

import argparse
import random
import sys
import time
from collections import defaultdict

import numpy as np

from autograd_lite import Value, dot, jit, log_softmax, mean, no_grad, relu, softmax, trainer
from nn import Adam

NAMES = """
ada adam agnes alan albert alice alma alva amalie amy anders andrea anna anton april arthur astrid august ava barbara
beatrice ben bernard bertha bianca boris brenda bruno carl carla carmen carol cecil celia charles clara claude ella
elmer elsa emil emilia emma enid eric erica ernest esther eva evan evelyn felix fiona flora frances frank frida gabriel
gerda gilbert gina gloria grace greta gustav hanna harold harriet hazel hector heidi helen henry herman hilda joseph
judith julia julian june karen karl katya kenneth kurt lara laura lea lena leo leon leonard lewis lila lily
""".split()  # noqa: SIM905
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # the dot begins and ends a name
WIDTH, HEADS, HIDDEN, LONGEST = 16, 4, 64, 9

rng = random.Random(0)


def matrix(rows, columns, std=0.08):
    return [[Value(rng.gauss(0, std)) for _ in range(columns)] for _ in range(rows)]


letters, places, unembed = matrix(len(LETTERS), WIDTH), matrix(LONGEST, WIDTH), matrix(len(LETTERS), WIDTH)
query, key, value, merge = (matrix(WIDTH, WIDTH) for _ in range(4))
widen, narrow = matrix(HIDDEN, WIDTH), matrix(WIDTH, HIDDEN)
PARAMETERS = [p for row in letters + places + unembed + query + key + value + merge + widen + narrow for p in row]


def linear(weight, x):
    return [dot(row, x) for row in weight]


def rms_norm(x):
    scale = (dot(x, x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


def attention(x, keys, values):
    q, taken = linear(query, x), []
    for i in range(0, WIDTH, WIDTH // HEADS):
        head = slice(i, i + WIDTH // HEADS)
        weights = softmax([dot(q[head], k[head]) / (WIDTH // HEADS) ** 0.5 for k in keys])
        taken += [dot(weights, column) for column in zip(*[v[head] for v in values], strict=True)]
    return linear(merge, taken)


def gpt(name):
    """The logits of the next letter, at each place of `name`, a list of one-hot letters."""
    keys, values, logits = [], [], []
    for letter, place in zip(name, places, strict=False):
        x = rms_norm([dot(letter, column) + p for *column, p in zip(*letters, place, strict=True)])
        n = rms_norm(x)
        keys.append(linear(key, n))
        values.append(linear(value, n))
        x = [a + b for a, b in zip(x, attention(n, keys, values), strict=True)]
        hidden = [relu(h) for h in linear(widen, rms_norm(x))]
        x = [a + b for a, b in zip(x, linear(narrow, hidden), strict=True)]
        logits.append(linear(unembed, x))
    return logits


def loss(name, following):
    return -mean([dot(log_softmax(z), y) for z, y in zip(gpt(name), following, strict=True)])


def one_hot(texts):
    """An array of shape (texts, places, letters)."""
    return np.array([[[float(letter == c) for letter in LETTERS] for c in text] for text in texts])


def batches(size):
    """Endless batches of `size` random names of one length, as (names, next letters): arrays of one-hot letters."""
    lengths = defaultdict(list)
    for name in NAMES:
        lengths[len(name)].append(name)
    texts = {n: (one_hot(["." + x for x in names]), one_hot([x + "." for x in names])) for n, names in lengths.items()}
    while True:
        (n,) = rng.choices([*lengths], [len(names) for names in lengths.values()])
        rows = rng.choices(range(len(lengths[n])), k=size)
        yield [text[rows] for text in texts[n]]


def train(steps, batch_size, eager):
    """Train for `steps` batches; the mean of the last tenth of the losses, and the median seconds of a step."""
    optimizer = Adam(PARAMETERS, lr=0.01, betas=(0.85, 0.99))
    compiled = None if eager else trainer(jit(loss), optimizer)

    def one_number_at_a_time(names, following):
        optimizer.zero_grad()
        total = mean([loss(x, y) for x, y in zip(names.tolist(), following.tolist(), strict=True)])
        total.backward()
        optimizer.step()
        return total.data

    step, losses, seconds, live = compiled or one_number_at_a_time, [], [], sys.stdout.isatty()
    for n, batch in zip(range(steps), batches(batch_size), strict=False):
        optimizer.lr = 0.01 * (1 - n / steps)
        start = time.perf_counter()
        losses.append(step(*batch))
        seconds.append(time.perf_counter() - start)
        if live or not (n + 1) % max(1, steps // 10):
            bar = f"[{'#' * (30 * (n + 1) // steps):30}] step {n + 1}/{steps}  loss {losses[-1]:.3f}"
            print(f"\r{bar}" if live else bar, end="" if live and n + 1 < steps else "\n", flush=True)
    if compiled:
        compiled.write()
    return mean(losses[-max(1, steps // 10) :]), sorted(seconds)[steps // 2]


def sample(temperature=0.7):
    name = "."
    with no_grad():
        while len(name) < LONGEST:
            chances = softmax([z / temperature for z in gpt(one_hot([name])[0].tolist())[-1]])
            (letter,) = rng.choices(LETTERS, [p.data for p in chances])
            if letter == ".":
                break
            name += letter
    return name[1:]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--eager", action="store_true", help="one number at a time")
    options = parser.parse_args(arguments)
    print(f"{len(PARAMETERS)} parameters, {len(NAMES)} names")
    final, seconds = train(options.steps, options.batch_size, options.eager)
    print(f"{seconds / options.batch_size * 1e6:,.0f} microseconds for a name, forwards, backwards and Adam")
    print("made up:", *[sample() for _ in range(10)], f"\nloss {final:.3f}")
    return final


if __name__ == "__main__":
    main()
