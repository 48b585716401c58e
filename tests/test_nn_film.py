"""The film of a training: what is recorded, what the page says, and how it behaves in a real browser."""

import json
import math
import re
import sys
from base64 import b64decode
from pathlib import Path

import pytest

import autograd_lite as ag
import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "demos"))
from moons import make_moons

X, Y = make_moons(40, noise=0.1, seed=1)


def train(callbacks, epochs=6, model=None, X=X, y=Y, loss=nn.hinge, **settings):
    model = model or nn.MLP(2, [4, 1], seed=1)
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    return model, nn.fit(
        model, X, y, loss, optimizer, epochs, None, callbacks=callbacks, verbose=False, **settings
    )  # fmt: skip


def scenes(path):
    """The data that a page carries."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(), re.S)
    return json.loads(found[1])


def decoded(text):
    code = b64decode(text)
    return [int.from_bytes(code[i : i + 2], "little", signed=True) / 32767 for i in range(0, len(code), 2)]


def test_the_parameters_of_every_epoch_are_kept():
    recording, model = nn.Recording(), nn.MLP(2, [4, 1], seed=1)
    states = [[p.data for p in model.parameters()]]
    _, history = train([recording, lambda _: states.append([p.data for p in model.parameters()])], model=model)
    assert [list(frame.numbers) for frame in recording.frames] == states
    assert [frame.epoch for frame in recording.frames] == list(range(7))
    assert [frame.row.get("loss") for frame in recording.frames] == [None, *history["loss"]]
    assert history.recording is recording


def test_numbers_and_gradients_of_the_page_are_the_engines(tmp_path):
    model = nn.MLP(2, [4, 1], seed=1)
    expected = []

    def look(history=None):
        total = ag.mean([nn.hinge(model(x), t) for x, t in zip(X, Y, strict=True)])
        model.zero_grad()
        total.backward()
        scores = nn.predict(model, [[0.5, 0.25]])
        expected.append(([p.data for p in model.parameters()], [p.grad for p in model.parameters()], scores))

    look()
    _, history = train([nn.Recording(), look], model=model, metrics=[nn.accuracy])
    for i, p in enumerate(model.parameters()):
        p.grad = float(i)
    before = [(p.data, p.grad) for p in model.parameters()]
    assert nn.film(history, tmp_path / "film.html") == tmp_path / "film.html"
    assert [(p.data, p.grad) for p in model.parameters()] == before
    film = scenes(tmp_path / "film.html")
    assert film["epochs"] == list(range(7))
    assert film["loss"][1:] == history["loss"]
    assert film["columns"]["accuracy"] == [None, *history["accuracy"]]
    assert [array["name"] for array in film["arrays"]] == [
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
    ]
    assert [(array["rows"], array["columns"]) for array in film["arrays"]] == [(4, 2), (1, 4), (1, 4), (1, 1)]
    weight = film["arrays"][0]
    numbers, gradients = decoded(weight["numbers"]), decoded(weight["gradients"])
    for frame, (data, grads, _) in enumerate(expected):
        for i in range(8):
            assert numbers[8 * frame + i] * weight["largest"] == pytest.approx(data[i], abs=1e-4 * weight["largest"])
            root = gradients[8 * frame + i]
            assert math.copysign(root**2, root) * weight["steepest"] == pytest.approx(
                grads[i], abs=1e-4 * weight["steepest"]
            )


def test_the_boundary_on_the_page_is_the_models(tmp_path):
    model, history = train([nn.Recording()], epochs=3)
    nn.film(history, tmp_path / "film.html", resolution=5)
    view = scenes(tmp_path / "film.html")["view"]
    assert (view["kind"], view["side"], view["threshold"]) == ("plane", 5, 0.0)
    assert view["points"] == [[*x, t] for x, t in zip(X, Y, strict=True)]
    (left, right), (bottom, top) = view["x"], view["y"]
    rows = [[left + (right - left) * j / 4, bottom + (top - bottom) * i / 4] for i in range(5) for j in range(5)]
    shown, scores = decoded(view["frames"])[-25:], nn.predict(model, rows)
    assert [z > 0 for z in shown] == [s > 0 for s in scores]
    assert sorted(range(25), key=shown.__getitem__) == sorted(range(25), key=scores.__getitem__)


VIEWS = {
    "curve": (lambda: nn.MLP(1, [3, 1], seed=0), [[x[0]] for x in X], [x[1] for x in X], nn.mse),
    "classes": (lambda: nn.MLP(2, [3], seed=0), X, [i % 3 for i in range(40)], nn.cross_entropy),
    "scatter": (lambda: nn.MLP(3, [1], seed=0), [[*x, 1.0] for x in X], Y, nn.mse),
    None: (lambda: nn.MLP(3, [2], seed=0), [[*x, 1.0] for x in X], [[t, -t] for t in Y], nn.mse),
}


@pytest.mark.parametrize(("kind", "parts"), VIEWS.items())
def test_other_kinds_of_data_have_pictures_of_their_own(kind, parts, tmp_path):
    build, inputs, targets, loss = parts
    _, history = train([nn.Recording()], model=build(), X=inputs, y=targets, loss=loss, epochs=2)
    nn.film(history, tmp_path / "film.html")
    view = scenes(tmp_path / "film.html")["view"]
    assert (view and view["kind"]) == kind


def test_a_model_that_cannot_be_compiled_is_filmed(tmp_path):
    class Branching(nn.MLP):
        def __call__(self, x):
            z = super().__call__(x)
            return z if z.data > 0 else 0.5 * z

    with pytest.warns(UserWarning, match="fit trains eagerly") as caught:
        _, history = train([nn.Recording()], model=Branching(2, [3, 1], seed=1), epochs=2)
    nn.film(history, tmp_path / "film.html", resolution=4)
    assert len(caught) == 1
    assert scenes(tmp_path / "film.html")["epochs"] == [0, 1, 2]


def test_long_trainings_keep_every_second_epoch_then_every_fourth():
    recording = nn.Recording(frames=10)
    train([recording], epochs=37)
    epochs = [frame.epoch for frame in recording.frames]
    assert epochs == [0, 8, 16, 24, 32, 37]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_a_film_is_written_after_every_end_of_a_training(error, tmp_path):
    def fail(history):
        if error and len(history) == 2:
            raise error

    path = tmp_path / "film.html"
    if error is RuntimeError:
        with pytest.raises(RuntimeError):
            train([nn.Recording(path), fail])
    else:
        train([nn.Recording(path), fail])
    assert scenes(path)["epochs"] == list(range(7 if error is None else 3))
    assert [file.name for file in tmp_path.iterdir()] == ["film.html"]


def test_numbers_that_are_not_finite_are_null_on_the_page(tmp_path):
    def infinite(prediction, target):
        return math.inf

    _, history = train([nn.Recording()], epochs=2, metrics=[infinite])
    assert scenes(nn.film(history, tmp_path / "film.html"))["columns"]["infinite"] == [None, None, None]


def test_the_film_of_a_training_that_diverges_is_written(tmp_path):
    with pytest.raises(nn.DivergenceError):
        train([nn.Recording(tmp_path / "film.html")], loss=lambda p, t: nn.hinge(p, t) + ag.log(p * 0.0 - 1.0))
    assert scenes(tmp_path / "film.html")["loss"] == [None]


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"this history has no recording: train with fit\(.*callbacks=\[nn.Recording"):
        nn.film(nn.History(), tmp_path / "film.html")
    with pytest.raises(ValueError, match=r"nothing was recorded"):
        nn.film(nn.Recording(), tmp_path / "film.html")
    with pytest.raises(TypeError, match=r"film takes a nn.Recording or a History, got str"):
        nn.film("film", tmp_path / "film.html")
    with pytest.raises(ValueError, match=r"film writes an .html file, got film.gif"):
        nn.Recording("film.gif")
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        nn.Recording(frames=1)
    _, history = train([nn.Recording()], epochs=1)
    with pytest.raises(FileNotFoundError, match=r"film: cannot write .*nowhere"):
        nn.film(history, tmp_path / "nowhere" / "film.html")


# --- In a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture
def show(open_page, tmp_path):
    """A function that opens the film of a history in the browser."""

    def opened(history, **options):
        path = nn.film(history, tmp_path / "film.html", resolution=12)
        return open_page(path, **{"viewport": {"width": 1240, "height": 900}, **options})

    return opened


def picture(page, canvas):
    """What is drawn on a canvas, as text."""
    return page.eval_on_selector(canvas, "c => c.toDataURL()")


def test_the_slider_and_the_keys_change_every_picture(show):
    _, history = train([nn.Recording()], metrics=[nn.accuracy])
    page = show(history)
    assert page.text_content("#now").startswith("epoch 0 of 6 · loss ")
    seen = [[picture(page, f"#arrays canvas >> nth={k}") for k in (0, 1)] + [picture(page, "#view canvas")]]
    page.keyboard.press("ArrowRight")
    assert page.text_content("#now") == (
        f"epoch 1 of 6 · loss {history['loss'][0]:.4g} · accuracy {history['accuracy'][0]:.4g}"
    )
    page.keyboard.press("End")
    assert page.text_content("#now").startswith("epoch 6 of 6")
    assert page.get_attribute("#slider", "aria-valuetext").startswith("epoch 6 of 6")
    seen.append([picture(page, f"#arrays canvas >> nth={k}") for k in (0, 1)] + [picture(page, "#view canvas")])
    for before, after in zip(*seen, strict=True):
        assert before != after
    page.click("#back")
    assert page.text_content("#now").startswith("epoch 5 of 6")
    page.evaluate("s => { s.value = 2; s.dispatchEvent(new Event('input')) }", page.query_selector("#slider"))
    assert page.text_content("#now").startswith("epoch 2 of 6")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#now").startswith("epoch 0 of 6")
    assert page.get_attribute("#view canvas", "aria-label").endswith("in epoch 0")
    assert [picture(page, f"#arrays canvas >> nth={k}") for k in (0, 1)] == seen[0][:2]


def test_it_plays_to_the_end_and_stops(show):
    _, history = train([nn.Recording()])
    page = show(history)
    page.keyboard.press("Space")
    assert page.text_content("#play") == "Pause"
    page.wait_for_function("document.getElementById('now').textContent.startsWith('epoch 6 of 6')")
    page.wait_for_function("document.getElementById('play').textContent === 'Play'")
    page.click("#play")
    page.wait_for_function("document.getElementById('now').textContent.startsWith('epoch 1 of 6')")
    page.click("#play")
    assert page.text_content("#play") == "Play"


def test_a_loss_that_is_not_finite_is_said(show):
    recording = nn.Recording()
    with pytest.raises(nn.DivergenceError):
        train([recording], loss=lambda p, t: nn.hinge(p, t) + ag.log(p * 0.0 - 1.0))
    assert show(recording).text_content("#now") == "epoch 0 of 0 · loss not finite"


def test_hovering_a_square_shows_its_number(show):
    model, history = train([nn.Recording()])
    page = show(history)
    page.keyboard.press("End")
    for which, at, expected in (("weight", 0, model.layers[0].neurons[2].w[1].data), ("gradient", 1, None)):
        box = page.query_selector(f"#arrays canvas >> nth={at}").bounding_box()
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 2.5 / 4 * box["height"])
        words = page.text_content("#hint").split()
        assert words[:2] == ["layers.0.weight[2][1]:", which]
        if expected is not None:
            assert float(words[2]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", [kind for kind in VIEWS if kind])
def test_every_kind_of_picture_is_drawn(kind, show):
    build, inputs, targets, loss = VIEWS[kind]
    _, history = train([nn.Recording()], model=build(), X=inputs, y=targets, loss=loss, epochs=2)
    page = show(history)
    before = picture(page, "#view canvas")
    page.keyboard.press("End")
    assert len(before) > 3_000
    assert picture(page, "#view canvas") != before


def test_light_and_dark_and_a_narrow_screen(show):
    _, history = train([nn.Recording()])
    light, dark = show(history), show(history, color_scheme="dark", viewport={"width": 390, "height": 800})
    background = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(background) == "rgb(255, 255, 255)"
    assert dark.evaluate(background) == "rgb(13, 17, 23)"
    assert picture(light, "#arrays canvas >> nth=0") != picture(dark, "#arrays canvas >> nth=0")
    assert dark.evaluate("document.documentElement.scrollWidth") <= 390
    before = picture(light, "#view canvas")
    light.emulate_media(color_scheme="dark")
    light.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(13, 17, 23)'")
    light.wait_for_function("before => document.querySelector('#view canvas').toDataURL() !== before", arg=before)


def test_hostile_names_are_text(show):
    class Net(nn.Module):
        def __init__(self):
            self.layers = {"</script><script>alert(1)</script><b>": nn.Layer(2, 1, seed=0)}

        def __call__(self, x):
            (layer,) = self.layers.values()
            return layer(x)

    Net.__name__ = "<img src=x onerror=alert(2)>"
    page = show(train([nn.Recording()], model=Net(), epochs=1)[1])
    assert page.title() == "Training of <img src=x onerror=alert(2)>"
    assert page.text_content(".name").startswith("layers.</script><script>alert(1)</script><b>.weight")
    assert page.query_selector("img") is None
