"""Saving and loading: the same numbers, PyTorch's names, resuming bit for bit, refusals, and nothing lost."""

import copy
import json
import math
import random
import sys

import pytest

import nn
from autograd_lite import softmax, tanh

X = [[0.1 * i, -0.3 * i + 1] for i in range(20)]
Y = [0.5 * a * b for a, b in X]
SUFFIXES = ["model.safetensors", "model.json"]


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    if request.param.endswith("safetensors"):
        pytest.importorskip("safetensors")
    return tmp_path / request.param


@pytest.mark.parametrize(
    "model",
    [
        nn.MLP(2, [4, 3, 1], "tanh", "sigmoid", seed=1),
        nn.Sequential(nn.Linear(2, 3, seed=1), tanh, nn.Layer(3, 2, "gelu", bias=False, seed=2), softmax),
        nn.Layer(2, 3, "relu", seed=3),
        nn.Neuron(2, "sin", seed=4),
    ],
    ids=lambda model: type(model).__name__,
)
def test_loaded_objects_equal_saved_objects(model, path):
    nn.save(model, path)
    loaded = nn.load(path)
    assert type(loaded) is type(model)
    assert repr(loaded) == repr(model)
    assert loaded.state_dict() == model.state_dict()
    assert nn.predict(loaded, X) == nn.predict(model, X)


def test_an_embedding_is_loaded_too(path):
    table = nn.Embedding(3, 2, seed=0)
    nn.save(table, path)
    assert nn.load(path).state_dict() == table.state_dict()


def test_pytorch_loads_the_same_file(tmp_path):
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    model = nn.MLP(2, [4, 1], "relu", "sigmoid", seed=1)
    nn.save(model, tmp_path / "model.safetensors", nn.Adam(model.parameters()), nn.History())
    theirs = torch.nn.Sequential(
        torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1), torch.nn.Sigmoid()
    ).double()
    theirs.load_state_dict(safetensors.load_file(tmp_path / "model.safetensors"))  # strict: the keys must agree
    assert theirs(torch.tensor(X, dtype=torch.float64))[:, 0].tolist() == pytest.approx(nn.predict(model, X), rel=1e-12)


def test_json_can_be_read(tmp_path):
    nn.save(nn.MLP(2, [2, 1], seed=1), tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text()
    found = json.loads(text)
    assert (found["format"], found["version"]) == ("autograd-lite", 1)
    layer = {"class": "Layer", "nin": 2, "nout": 2, "activation": "relu", "bias": True}
    assert found["architecture"]["layers"][0] == layer
    assert list(found["state"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert '    "2.bias": [' in text.splitlines()[-3]


@pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(kind, path):
    def start():
        model = nn.MLP(2, [4, 1], seed=1)
        optimizer = getattr(nn, kind)(model.parameters(), lr=0.01, weight_decay=0.01)
        return model, optimizer, nn.CosineAnnealingLR(optimizer, 9)

    def go_on(model, optimizer, schedule, epochs, history):
        return nn.fit(
            model, X, Y, nn.mse, optimizer, epochs, 3, schedule=schedule, history=history, seed=5,
            validation_split=0.2, callbacks=[lambda history: nn.save(model, path, optimizer, history)],
        )  # fmt: skip

    whole, optimizer, schedule = start()
    expected = go_on(whole, optimizer, schedule, 9, nn.History())

    go_on(*start(), 4, nn.History())
    model, optimizer, schedule = start()
    history = nn.History()
    nn.load(path, model, optimizer, history)
    assert len(history) == 4
    go_on(model, optimizer, schedule, 9, history)

    assert model.state_dict() == whole.state_dict()
    assert [row["val_loss"] for row in history.rows] == expected["val_loss"]


def test_load_into_a_users_class(path):
    class Net(nn.Module):
        def __init__(self, width):
            self.hidden, self.out = nn.Layer(2, width, "relu", seed=0), nn.Layer(width, 1, seed=1)

        def __call__(self, x):
            return self.out(self.hidden(x))

    model, twin = Net(3), Net(3)
    model.parameters()[0].data = 7.0
    nn.save(model, path)
    assert nn.load(path, twin) is twin
    assert twin.state_dict() == model.state_dict()
    with pytest.raises(ValueError, match="load cannot make a Net, a class of your own"):
        nn.load(path)
    with pytest.raises(ValueError, match=r"another architecture, Net\(\), than the model, Net\(\)"):
        nn.load(path, Net(4))


def test_a_users_function_is_named(path):
    model = nn.Sequential(nn.Layer(2, 2, seed=0), lambda xs: xs)
    nn.save(model, path)
    with pytest.raises(ValueError, match="load cannot make the function <lambda>, one of your own"):
        nn.load(path)
    assert nn.load(path, model) is model


def test_a_refused_input_changes_nothing(path):
    model, other = nn.MLP(2, [4, 1], seed=1), nn.MLP(2, [5, 1], seed=2)
    nn.save(model, path, nn.SGD(model.parameters()))
    before = other.state_dict()
    with pytest.raises(
        ValueError, match=r"another architecture, MLP\(Layer\(2, 4, relu\).* than .*Layer\(2, 5, relu\)"
    ):
        nn.load(path, other)
    assert other.state_dict() == before
    twin = nn.MLP(2, [4, 1], seed=3)
    before = twin.state_dict()
    with pytest.raises(ValueError, match="the state belongs to the optimizer SGD, this is Adam"):
        nn.load(path, twin, nn.Adam(twin.parameters()))
    with pytest.raises(ValueError, match="has no history: it was saved without"):
        nn.load(path, twin, history=nn.History())
    assert twin.state_dict() == before


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, part):
    nn.save(nn.MLP(2, [4, 1], seed=1), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="is damaged or no"):
        nn.load(path)


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "model.json"
    nn.save(nn.MLP(2, [1], seed=1), path)
    path.write_text(path.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(ValueError, match="has version 99, this is version 1"):
        nn.load(path)


@pytest.mark.parametrize("content", ["{}", "[1]", '{"format": "other", "state": {}}'])
def test_another_format_is_refused(tmp_path, content):
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"was not written by nn.save"):
        nn.load(path)


def test_a_safetensors_file_that_nn_did_not_write_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"0.weight": np.zeros((1, 2))}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"was not written by nn.save"):
        nn.load(tmp_path / "model.safetensors")


def test_errors_name_the_path_and_the_remedy(tmp_path):
    model = nn.MLP(2, [1], seed=1)
    with pytest.raises(ValueError, match=r"save knows .safetensors and .json files, got .*model.pkl"):
        nn.save(model, tmp_path / "model.pkl")
    with pytest.raises(FileNotFoundError, match=r"save: cannot write .*nowhere.*No such file"):
        nn.save(model, tmp_path / "nowhere" / "model.json")
    for name in SUFFIXES:
        with pytest.raises(FileNotFoundError, match=rf"load: there is no .*{name}"):
            nn.load(tmp_path / name)
    with pytest.raises(TypeError, match=r"save takes a Module and then the path of the file, got str first"):
        nn.save("model.json", model)
    with pytest.raises(TypeError, match=r"load takes the path of a file, got MLP"):
        nn.load(model)
    optimizer = nn.SGD(model.parameters(), momentum=0.9)
    optimizer.state["momentum_buffer"][0] = float("inf")
    with pytest.raises(ValueError, match=r"save: momentum_buffer of the optimizer is not finite: nothing was written"):
        nn.save(model, tmp_path / "model.json", optimizer)
    assert not [*tmp_path.iterdir()]
    model.parameters()[0].data = float("nan")
    with pytest.raises(ValueError, match=r"save: 0.weight is not finite: nothing was written"):
        nn.save(model, tmp_path / "model.json")


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, failing):
    path = tmp_path / "model.json"
    old = nn.MLP(2, [1], seed=1)
    nn.save(old, path)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync" if failing == "fsync" else "pathlib.Path.replace", full)
    with pytest.raises(OSError, match=r"No space left on device.*it is as it was before"):
        nn.save(nn.MLP(2, [1], seed=2), path)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]
    assert nn.load(path).state_dict() == old.state_dict()


def test_without_safetensors_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'autograd-lite\[save\]', or use .json"):
        nn.save(nn.MLP(2, [1]), tmp_path / "model.safetensors")
    nn.save(nn.MLP(2, [1]), tmp_path / "model.json")


# --- Damaged files ---------------------------------------------------------------------------------------------------

MUTATIONS = 250
JUNK = [None, True, False, -1, 0, 3, 10**30, 10**400, 1e300, -0.5, "", "relu", "Layer", "x" * 99, [], [[]], [1.0], {}]


def train():
    model = nn.Sequential(nn.Layer(2, 3, "relu", seed=1), tanh, nn.Layer(3, 1, seed=2))
    optimizer = nn.Adam(model.parameters(), lr=0.01)
    history = nn.fit(model, X, Y, nn.mse, optimizer, 2, verbose=False)
    return model, optimizer, history


def mutated_tree(tree, rng):
    """A copy of a JSON document with one change: a part replaced, removed, repeated, or swapped for another part."""
    tree = copy.deepcopy(tree)
    places, stack = [], [tree]
    while stack:
        node = stack.pop()
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                stack.append(node[key])
    node, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        node[key] = copy.deepcopy(rng.choice(JUNK))
    elif kind == 1:
        del node[key]
    elif kind == 2 and isinstance(node, list):
        node.insert(key, copy.deepcopy(node[key]))
    elif kind == 2:
        node["new"] = copy.deepcopy(node[key])
    else:
        other, at = rng.choice(places)
        node[key] = copy.deepcopy(other[at])
    return tree


def mutated_bytes(content, rng):
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        i = rng.randrange(len(content))
        kind = rng.randrange(4)
        if kind == 0:
            content[i] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[i : i + rng.choice([1, 3, 20])]
        elif kind == 2:
            content[i:i] = rng.choice([b"0", b"9", b'"', b"[", b"}", b",", b"null", b"NaN", b"-", b"e9", b"\xff"])
        else:
            content[i] = rng.choice(b'0123456789[]{}",:.-e')
    return bytes(content)


def numbers_of(model, optimizer, history):
    return model.state_dict(), optimizer.state_dict(), [dict(row) for row in history.rows]


def is_loaded(path, started):
    """True if the file loads. A file that does not load raises one ValueError and changes nothing."""
    before, results = numbers_of(*started), []
    for given in (), started:
        try:
            loaded = nn.load(path, *given)
        except ValueError as error:
            results.append(False)
            refusal = str(error)
            assert (refusal[:4], len(refusal) < 2_000) == ("load", True)
            assert numbers_of(*started) == before
        else:
            assert all(math.isfinite(p.data) for p in loaded.parameters())
            results.append(True)
    return any(results)


def split_safetensors(content):
    """The description, the header and the arrays' bytes of a safetensors file."""
    n = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n])
    return json.loads(header["__metadata__"].pop("autograd-lite")), header, content[8 + n :]


def joined_safetensors(description, header, arrays):
    if isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["autograd-lite"] = json.dumps(description)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + arrays


@pytest.mark.parametrize("how", ["tree", "bytes"])
def test_a_damaged_file_is_loaded_or_refused_by_a_value_error(path, how):
    started = train()
    nn.save(started[0], path, *started[1:])
    content, rng = path.read_bytes(), random.Random(f"{path.suffix} {how}")
    loaded = 0
    for _ in range(MUTATIONS):
        if how == "bytes":
            damaged = mutated_bytes(content, rng)
        elif path.suffix == ".json":
            damaged = json.dumps(mutated_tree(json.loads(content), rng)).encode()
        else:
            description, header, arrays = split_safetensors(content)
            both = (
                [mutated_tree(description, rng), header]
                if rng.random() < 0.7
                else [description, mutated_tree(header, rng)]
            )
            damaged = joined_safetensors(*both, arrays)
        path.write_bytes(damaged)
        loaded += is_loaded(path, copy.deepcopy(started))
    assert 0 < loaded < MUTATIONS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file["architecture"].update(layers=[]), "the description of the Sequential is damaged"),
        (lambda file: file["architecture"]["layers"][0].update(nin=10**9), "with the shape .*1000000000"),
        (lambda file: file["architecture"]["layers"][0].update(nin="2"), "its nin is '2'"),
        (lambda file: file["architecture"]["layers"][0].update(bias=None), "its bias is None"),
        (lambda file: file["architecture"]["layers"][0].update(activation=3), "load cannot make the function 3"),
        (lambda file: file["architecture"].pop("class"), "the description of the architecture is damaged"),
        (lambda file: file["state"].update({"0.bias": [1.0, 2.0, 10**400]}), "takes finite numbers, got 1000"),
        (lambda file: file["state"].update({"0.bias": [1.0, 2.0, None]}), "takes real numbers, got NoneType"),
        (lambda file: file.update(state=[]), r"was not written by nn\.save"),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    path = tmp_path / "model.json"
    nn.save(train()[0], path)
    file = json.loads(path.read_text())
    change(file)
    path.write_text(json.dumps(file))
    with pytest.raises(ValueError, match=message):
        nn.load(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda optimizer, history: history.rows.append({"epoch": 3}),
            "history in .*: row 2 has the columns",
        ),
        (lambda optimizer, history: history.rows[0].update(loss="low"), "history in .*: row 0 has 'low'"),
        (
            lambda optimizer, history: optimizer.state["exp_avg"].append(0.0),
            "state has 14 parameters, the optimizer 13",
        ),
        (lambda optimizer, history: optimizer.state.update(exp_avg=[True] * 13), "exp_avg is not a list of numbers"),
    ],
)
def test_a_damaged_history_or_optimizer_changes_nothing(path, damage, message):
    model, optimizer, history = train()
    started = train()
    started[0].parameters()[0].data = 5.0
    before = numbers_of(*started)
    damage(optimizer, history)
    nn.save(model, path, optimizer, history)
    with pytest.raises(ValueError, match=message):
        nn.load(path, *started)
    assert numbers_of(*started) == before


def test_json_that_is_nested_too_deep(tmp_path):
    path = tmp_path / "model.json"
    path.write_text('{"state": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(ValueError, match=r"is damaged or no JSON|was not written by nn.save"):
        nn.load(path)


def test_a_function_of_ones_own_is_not_loaded_as_the_public_one_of_its_name(tmp_path):
    def gelu(x):
        return 0.0 * x + 7.0

    path = tmp_path / "model.json"
    for model in (nn.Sequential(nn.Layer(1, 1, seed=0), gelu), nn.MLP(1, [2, 1], activation=gelu, seed=0)):
        nn.save(model, path)
        with pytest.raises(ValueError, match=r"load cannot make the function .*gelu, one of your own"):
            nn.load(path)
        nn.load(path, model)
    public = nn.MLP(1, [2, 1], activation="gelu", seed=0)
    nn.save(public, path)
    assert nn.load(path)([1.0]).data == public([1.0]).data


def test_numbers_of_numpy_are_saved(path):
    np = pytest.importorskip("numpy")

    class Column(nn.Callback):
        def columns(self, training):
            return {"norm": np.float32(0.5), "count": np.int64(3)}

    model = nn.MLP(2, [1], seed=1)
    optimizer = nn.SGD(model.parameters(), lr=np.float32(0.5))
    history = nn.fit(model, X, Y, nn.mse, optimizer, 2, callbacks=[Column()], verbose=False)
    nn.save(model, path, optimizer, history)
    loaded = nn.History()
    nn.load(path, history=loaded)
    assert loaded.rows == history.rows
    assert (loaded["norm"], loaded["count"]) == ([0.5, 0.5], [3.0, 3.0])


def test_a_history_with_other_metrics_from_some_epoch_on(tmp_path):
    model, path = nn.MLP(1, [1], seed=0), tmp_path / "model.json"
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    data = {"X": [[1.0], [2.0]], "y": [1.0, 2.0], "loss": nn.mse, "optimizer": optimizer, "verbose": False}
    history = nn.fit(model, epochs=2, **data)
    nn.fit(model, epochs=4, history=history, metrics=[nn.mae], **data)
    nn.save(model, path, optimizer, history)
    loaded = nn.History()
    nn.load(path, model, optimizer, loaded)
    assert loaded.names == history.names == [*history.rows[0], "mae"]
    assert [math.isnan(x) for x in loaded["mae"]] == [True, True, False, False]
    assert "mae" in history._repr_html_()
    pytest.importorskip("matplotlib")
    nn.plot_history(history)
