"""A GPT in scalars: learns to make up names, letter by letter.

    python demos/gpt.py                    compiled: eight names at a time
    python demos/gpt.py --eager --steps 3  the same code, one number at a time

A transformer of one layer with 4 heads, RMS norm and a ReLU perceptron, trained by Adam. Everything below is written
for one name and plain numbers; `jit` compiles it once for each length of a name.
"""

import argparse
import random
import time
from collections import defaultdict

from autograd_lite import Value, dot, jit, log_softmax, mean, no_grad, relu, softmax, trainer
from nn import Adam

NAMES = """
ada adam agnes alan albert alice alma alva amalie amy anders andrea anna anton april arthur astrid august aurora ava
barbara beatrice ben bernard bertha bianca boris brenda bruno carl carla carmen carol cecil celia charles clara claude
cleo conrad cora dana daniel daphne david delia dennis diana dora doris dylan edgar edith edmund elena eli elias elisa
ella elmer elsa emil emilia emma enid eric erica ernest esther eva evan evelyn felix fiona flora frances frank frida
gabriel gerda gilbert gina gloria grace greta gustav hanna harold harriet hazel hector heidi helen henry herman hilda
hugo ian ida ines ingrid irene iris isaac isabel ivan ivy jack jacob jane jasper jean jenny joan joel john jonas
joseph judith julia julian june karen karl katya kenneth kurt lara laura lea lena leo leon leonard lewis lila lily
linda lisa louis louise lucas lucia lucy luis lydia mabel magda marco margot maria marian marie mario marta martin
mary mathilda maud max maya mia michael mila milo mina mira miriam mona moritz myra nadia nancy naomi nathan nelly
nicola nina noah nora olga oliver olivia oscar otto pablo paul paula pauline pedro peter petra philip phoebe rachel
ralph rebecca regina rita robert robin rosa rose ruben rufus ruth sabina sally sam samuel sandra sara selma silvia
simon sofia sonia stella susan sven sylvia tamara tara teresa theo theresa thomas tilda tim tina tobias tom ulla ulrich
ursula valentin vera victor viola violet vivian walter wanda wilhelm wilma winston xavier yara yolanda yvonne zara zoe
""".split()  # noqa: SIM905
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # the dot begins and ends a name
WIDTH, HEADS, HIDDEN, LONGEST = 16, 4, 64, 9

rng = random.Random(0)


def matrix(rows, columns, std=0.08):
    return [[Value(rng.gauss(0, std)) for _ in range(columns)] for _ in range(rows)]


letters, places, unembed = matrix(len(LETTERS), WIDTH), matrix(LONGEST, WIDTH), matrix(len(LETTERS), WIDTH)
query, key, value, merge = (matrix(WIDTH, WIDTH) for _ in range(4))
widen, narrow = matrix(HIDDEN, WIDTH), matrix(WIDTH, HIDDEN)
WEIGHTS = [letters, places, unembed, query, key, value, merge, widen, narrow]
PARAMETERS = [p for weight in WEIGHTS for row in weight for p in row]


def linear(weight, x):
    return [dot(row, x) for row in weight]


def add(x, y):
    return [a + b for a, b in zip(x, y, strict=True)]


def normalized(x):
    scale = (dot(x, x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


def attention(x, keys, values):
    """What the last place of a name takes from all places up to it."""
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
        x = normalized(add([dot(letter, column) for column in zip(*letters, strict=True)], place))
        n = normalized(x)
        keys.append(linear(key, n))
        values.append(linear(value, n))
        x = add(x, attention(n, keys, values))
        x = add(x, linear(narrow, [relu(h) for h in linear(widen, normalized(x))]))
        logits.append(linear(unembed, x))
    return logits


def loss(name, following):
    """The mean surprise at the letters that follow."""
    return -mean([dot(log_softmax(z), y) for z, y in zip(gpt(name), following, strict=True)])


def one_hot(text):
    return [[float(letter == c) for letter in LETTERS] for c in text]


def train(steps, batch_size, eager):
    """Train for `steps` batches of names of one length; the last losses' mean, and the seconds of a step."""
    lengths = defaultdict(list)
    for name in NAMES:
        if len(name) < LONGEST:
            lengths[len(name)].append((one_hot("." + name), one_hot(name + ".")))
    optimizer = Adam(PARAMETERS, lr=0.01, betas=(0.85, 0.99))
    step = None if eager else trainer(jit(loss), optimizer)
    losses, seconds = [], []
    for n in range(steps):
        optimizer.lr = 0.01 * (1 - n / steps)
        batch = rng.choices(lengths[len(rng.choice(NAMES)) % LONGEST or 4], k=batch_size)
        start = time.perf_counter()
        if eager:
            optimizer.zero_grad()
            z = mean([loss(x, y) for x, y in batch])
            z.backward()
            optimizer.step()
            losses.append(z.data)
        else:
            losses.append(step(*zip(*batch, strict=True)))
        seconds.append(time.perf_counter() - start)
        done = 30 * (n + 1) // steps
        print(f"\r[{'#' * done}{' ' * (30 - done)}] step {n + 1}/{steps}  loss {losses[-1]:.3f}", end="", flush=True)
    print()
    if step:
        step.write()
    last = losses[-len(losses) // 10 :]
    return sum(last) / len(last), sorted(seconds)[len(seconds) // 2]


def sample(temperature=0.7):
    """A name that the model makes up."""
    name = "."
    with no_grad():
        while len(name) < LONGEST:
            chances = softmax([z / temperature for z in gpt(one_hot(name))[-1]])
            (letter,) = rng.choices(LETTERS, [p.data for p in chances])
            if letter == ".":
                break
            name += letter
    return name[1:]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--eager", action="store_true", help="one number at a time")
    options = parser.parse_args(arguments)
    print(f"{len(PARAMETERS)} parameters, {len(NAMES)} names")
    final, seconds = train(options.steps, options.batch_size, options.eager)
    print(f"{seconds / options.batch_size * 1e6:,.0f} microseconds for a name, forwards, backwards and Adam")
    print("made up:", *[sample() for _ in range(options.samples)])
    print(f"loss {final:.3f}")
    return final


if __name__ == "__main__":
    main()
