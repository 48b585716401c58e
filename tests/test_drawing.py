"""Pictures of graphs: their content, how they are rendered, and the errors if they cannot be."""

# ruff: noqa: A004, RUF001
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import nn
from autograd_lite import (
    Value,
    dot,
    draw,
    exp,
    maximum,
    mean,
    names_of,
    primitive,
    softmax,
    step,
    sum,
    tanh,
    to_html,
    to_latex,
    to_mermaid,
    to_text,
    topological_order,
    where,
)
from autograd_lite.drawing import palette
from autograd_lite.drawing.notation import number, typeset
from autograd_lite.drawing.symbolic import derivatives, formula
from autograd_lite.primitives import PRIMITIVES

ROOT = Path(__file__).parent.parent
HOSTILE = [
    '"',
    "\\",
    "<b>",
    "</TABLE>",
    "a|b{c}",
    "&amp;",
    "line\nbreak",
    "\x00\x1b[31m",
    "é∂한",
    "\ud800",
    "  ",
    "\\N",
]


def expression():
    a, b = Value(2.0, label="a"), Value(-0.5, label="b")
    y = tanh(a * b + b**2)
    y.label = "y"
    y.backward()
    return y


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    """No program `dot` on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


@pytest.fixture
def fake_dot(monkeypatch, tmp_path):
    """A program `dot` that answers with its arguments, and fails on a graph that says FAIL."""
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "text = sys.stdin.read()\n"
        "if 'FAIL' in text:\n"
        "    sys.exit('Error: as asked')\n"
        "print('dot', *sys.argv[1:], text.split()[0])\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


@pytest.fixture
def in_process(no_dot):
    pytest.importorskip("pygraphviz")


@pytest.fixture
def no_graphviz(no_dot, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


# What a picture says


def test_a_box_holds_label_number_gradient_and_operation():
    source = draw(expression()).source
    for piece in ("rankdir=LR", "<B>a</B>", ">2<", "grad −0.2983", "tanh", "x²", "×"):
        assert piece in source
    assert source.count("<TABLE") == 6


def test_every_use_of_an_argument_is_an_arrow():
    a = Value(3.0)
    assert draw(a * a).source.count("n0:e -> n1:w") == 2


def test_constants_are_boxes_of_their_own_and_an_exponent_is_part_of_the_sign():
    source = draw(Value(3.0) ** 2 + 1).source
    assert "[label=1 " in source
    assert "x²" in source
    assert "x^0.5" in draw(Value(3.0) ** 0.5).source
    assert "x⁻¹" in draw(Value(3.0) ** -1).source


def test_arguments_of_an_ordered_operation_arrive_in_order():
    a, b = Value(1.0), Value(2.0)
    source = draw(a / b).source
    assert "n0:e -> n2:0:w" in source
    assert "n1:e -> n2:1:w" in source


def test_a_dot_product_shows_its_factors_in_pairs():
    w, x = [Value(1.0, "w0"), Value(2.0, "w1")], [3.0, 4.0]
    assert [line.split()[-1] for line in to_text(dot(w, x)).splitlines()[2::2]] == ["3", "4"]


def test_a_node_under_several_roots_is_drawn_once():
    a = Value(1.0)
    assert draw(a + 1, a + 2).source.count("<TABLE") == 3


def test_a_user_defined_primitive_is_drawn_with_its_name():
    @primitive(partials=lambda z, x: (3 * x**2,))
    def cube_for_drawing(x):
        return x * x * x

    assert "cube_for_drawing" in draw(cube_for_drawing(Value(2.0))).source


def test_drawing_is_deterministic():
    assert draw(expression()).source == draw(expression()).source


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (-3.0, "-3"),
        (999999.0, "999999"),
        (1e6, "1e6"),
        (1234567.0, "1.235e6"),
        (math.pi, "3.142"),
        (-0.000012345, "-1.234e-5"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_have_four_digits_and_integers_are_plain(x, text):
    assert number(x) == text


# Networks: what is collapsed


def model_and_loss(rows=1, sizes=(16, 16, 1)):
    model = nn.MLP(2, [*sizes], seed=1)
    losses = [nn.hinge(model([0.3 + 0.01 * i, -0.6 + 0.02 * i]), 1.0) for i in range(rows)]
    return model, mean(losses) if rows > 1 else losses[0]


def boxes_of(picture):
    """The titles of the boxes and frames of a picture."""
    return re.findall(r"(?<!\">)<B>([^<]*)</B>", picture.source)


def size_of(picture):
    svg = picture.pipe("svg", encoding="utf-8")
    return [int(x) for x in re.search(r'width="(\d+)pt" height="(\d+)pt"', svg).groups()]


def test_a_network_on_one_row_fits_one_page(in_process):
    model, loss = model_and_loss()
    loss.backward()
    picture = draw(loss)
    width, height = size_of(picture)
    assert width <= 900
    assert height <= 1200
    titles = boxes_of(picture)
    assert [titles.count(f"neurons.{i}") for i in (0, 15)] == [3, 2]
    assert {"x0", "x1", "layers.0", "layers.1", "layers.2", "MLP", "loss"} <= {*titles}
    assert "a box stands for one neuron" in picture.source
    assert "expand='layers.1.neurons." in picture.source.replace("&#x27;", "'")
    assert all(f">{typeset(number(n.data))}<" in picture.source for n in loss.args if type(n) is not float)
    del model


def test_a_neuron_is_one_box_with_a_row_for_each_product():
    neuron = nn.Neuron(2, activation="relu", weight=[0.5, -2.0], bias=0.25)
    y = neuron([1.0, 3.0])
    y.backward()
    source = draw(y).source
    rows = [re.findall(r">([^<>]+)<", row) for row in re.findall(r"<TR><TD ALIGN=\"LEFT\">.*?</TR>", source)]
    assert rows[:3] == [
        ["w0", "0.5", "·", "x0", "1", "grad 0"],
        ["w1", "−2", "·", "x1", "3", "grad 0"],
        ["b", "0.25", "grad 0"],
    ]
    assert " -> " not in source
    assert draw(y).source.count("[label=<<TABLE") == 1


def test_a_long_dot_product_leaves_out_its_middle():
    source = draw(dot([Value(float(i), label=f"w{i}") for i in range(30)], [2.0] * 30)).source
    assert "⋯ 23 more ⋯" in source
    assert [f">w{i}<" in source for i in (0, 3, 4, 26, 27, 29)] == [True, True, False, False, True, True]


def test_before_backward_the_caption_says_that_there_are_no_gradients():
    y = Value(2.0, label="a") * 3
    assert "No gradients yet: call backward() first." in draw(y).source
    assert "grad 0" not in draw(y).source
    y.backward()
    assert "No gradients yet" not in draw(y).source
    assert "grad 3" in draw(y).source


def test_the_rows_of_a_batch_are_one_box(in_process):
    model, loss = model_and_loss(100)
    loss.backward()
    picture = draw(loss)
    assert "× 100" in picture.source
    assert len(boxes_of(picture)) < 60
    outputs = [model([0.3 + 0.01 * i, -0.6 + 0.02 * i]).data for i in range(100)]
    assert f"{typeset(number(min(outputs)))} … {typeset(number(max(outputs)))}" in picture.source
    rows = [[0.3 + 0.01 * i, -0.6 + 0.02 * i] for i in range(100)]
    dead = len([n for n in model.layers[0].neurons if all(n(x).data == 0 for x in rows)])
    assert dead
    layer = draw(loss, detail="layer").source
    assert f"{dead} of 16 dead" in layer
    assert f"|grad| ≤ {typeset(number(max(abs(p.grad) for p in model.layers[0].parameters())))}" in layer


@pytest.mark.parametrize(
    "name", [*HOSTILE, "</script>", "²", "9" * 5_000, "x" * 100_000], ids=lambda name: ascii(name[:9])
)
def test_any_name_of_a_part_is_shown_as_text(in_process, name):
    class Model(nn.Module):
        def __init__(self):
            self.parts_by_name = {name: nn.MLP(2, [8, 8, 8, 2], seed=1)}

        def __call__(self, x):
            return self.parts_by_name[name](x)

    Model.__name__ = f"Model {name}".encode("ascii", "replace").decode().replace("\0", "?")
    model = Model()
    loss = nn.mse(model([1.0, 2.0]), [1.0, 2.0])
    for detail in ("model", "layer", "neuron", "value"):
        picture = draw(loss, detail=detail)
        ElementTree.fromstring(picture.pipe("svg"))
        assert len(picture.described) < 2_000
        assert "</script>" not in picture.source
    for page in (to_html(loss), to_html(loss, max_nodes=3)):
        assert len(page) < 600_000
        assert page.count("</script>") == 1
    assert all(line.isprintable() for line in to_text(loss).splitlines())


def test_a_long_path_keeps_its_end():
    class Model(nn.Module):
        def __init__(self):
            self.a_part_with_quite_a_long_name = {"and_another_one": nn.Neuron(2, seed=1)}

    model = Model()
    w = model.a_part_with_quite_a_long_name["and_another_one"].w
    assert [w[i] for i in (0, 1)] == [*names_of(w)]
    assert "w.1 " in to_text(w[0] * w[1])
    assert "a_part_with" in to_text(w[0] * w[1])


def test_a_graph_of_many_long_rows_is_collapsed(in_process):
    model, loss = model_and_loss(40, (8, 8, 1))
    loss.backward()
    picture = draw(loss)
    assert "a box stands for one neuron" in picture.source
    width, height = size_of(picture)
    assert width <= 1_100
    assert height <= 600
    del model


def test_a_dashed_border_marks_a_neuron_that_is_off(in_process):
    model, _ = model_and_loss(4, (8, 1))
    for neuron in model.layers[0].neurons[::2]:
        neuron.b.data = -50.0
    loss = mean([nn.hinge(model([0.3, 0.1 * i]), 1.0) for i in range(4)])
    loss.backward()
    assert "stroke-dasharray" not in draw(loss, detail="value").pipe("svg", encoding="utf-8")
    assert draw(loss, detail="neuron").pipe("svg", encoding="utf-8").count("stroke-dasharray") >= 4


def test_each_of_two_models_is_named_once():
    one, two = nn.Layer(2, 8, "tanh", seed=1), nn.Layer(8, 8, seed=2)
    loss = nn.mse(two(one([1.0, 2.0])), [0.0] * 8)
    source = draw(loss, detail="neuron").source
    assert source.count("Layer#1</") == source.count("Layer#2</") == 1


def test_a_range_in_a_row_is_one_text():
    model, loss = model_and_loss(3, (1,))
    source = draw(loss, detail="value").source
    assert f">{typeset('-0.6 … -0.56')}<" in source
    assert "The darker" not in source
    del model


def test_the_box_of_the_group_around_a_value_is_marked():
    model, loss = model_and_loss(40, (8, 8, 1))
    loss.backward()
    marked = [
        line
        for line in draw(loss, around=model.layers[1].neurons[3].w[1], radius=4, detail="layer").source.splitlines()
        if " -> " not in line
    ]
    assert [("layers.1" in line) for line in marked if "penwidth=2.5" in line] == [True]


def test_detail_and_expand_choose_what_is_shown():
    model, loss = model_and_loss()
    assert boxes_of(draw(loss, detail="model")) == ["x0", "x1", "MLP", "loss"]
    assert boxes_of(draw(loss, detail="layer")).count("layers.1") == 1
    opened = boxes_of(draw(loss, detail="layer", expand="layers.1"))
    assert opened.count("layers.1") == 1
    assert [title for title in opened if title.startswith("neurons")] == [f"neurons.{i}" for i in range(16)]
    assert boxes_of(draw(loss, detail="model", expand=["layers.2", "loss"])).count("neurons.0") == 1
    assert draw(loss, detail="all").source.count(">relu<") == 33
    del model


def test_around_a_value_only_its_neighbours_are_drawn():
    model, loss = model_and_loss()
    w = model.layers[1].neurons[3].w[1]
    picture = draw(loss, around=w, radius=1)
    assert boxes_of(picture) == ["MLP", "layers.1", "w1"]
    assert f"2 of {len(topological_order(loss))} values" in picture.source
    assert len(boxes_of(draw(loss, around=w, radius=2))) > 3
    assert f"1 of {len(topological_order(loss))} values" in draw(loss, around=w, radius=0).source


class Residual(nn.Module):
    """An embedding, two blocks with an attention each, and a head: values of several modules meet in additions."""

    def __init__(self):
        self.embed = nn.Embedding(5, 4, seed=1)
        self.blocks = [{"query": nn.Layer(4, 4, seed=i), "value": nn.Layer(4, 4, seed=9 + i)} for i in range(2)]
        self.head = nn.Layer(4, 5, seed=3)

    def __call__(self, tokens):
        xs = [self.embed(token) for token in tokens]
        for block in self.blocks:
            values = [block["value"](x) for x in xs]
            queries = [block["query"](x) for x in xs]
            weights = [softmax([dot(q, x) for x in xs]) for q in queries]
            sums = [[dot(w, column) for column in zip(*values, strict=True)] for w in weights]
            xs = [[a + b for a, b in zip(x, s, strict=True)] for x, s in zip(xs, sums, strict=True)]
        return [self.head(x) for x in xs]


def test_values_between_modules_are_joined_by_operation():
    model = Residual()
    loss = nn.cross_entropy(model([0, 1, 2]), [1, 2, 3])
    loss.backward()
    picture = draw(loss)
    titles = boxes_of(picture)
    assert len(titles) < 60
    assert {"embed", "blocks.0.query", "blocks.1.value", "head", "loss"} <= {*titles}
    assert "× 12" in picture.source  # three tokens of four numbers, which are rows of the embedding
    assert picture.source.count("× 9") == 4  # the scores of three tokens with three: differences, exp, quotients
    assert f"|grad| ≤ {typeset(number(max(abs(p.grad) for p in model.embed.parameters())))}" in picture.source


def test_every_text_has_contrast_with_every_fill_of_a_box():
    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    fills = [palette.LEAF, palette.MADE, palette.CONSTANT, palette.FRAME, palette.OFF]
    fills += [palette.heat(share / 10) for share in range(11)]
    for ink in (palette.INK, palette.GREY, palette.DATA, palette.GRAD, palette.WARN):
        for fill in fills:
            low, high = sorted([light(ink), light(fill)])
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, fill)


def test_the_arrows_of_a_gradient_of_nan_are_the_widest():
    model = nn.MLP(2, [3, 2, 1], seed=1)
    y = model([0.5, 1.0])
    y.backward()
    for node in topological_order(y):
        if node.op is not None and node is not y:
            node.grad = math.nan
    widths = re.findall(r"-> .* penwidth=([\d.]+)", draw(y, detail="layer").source)
    assert widths == ["3.20", "3.20"]


def test_vanishing_gradients_are_named():
    def deep(scale):
        model = nn.MLP(1, [1] * 40, activation=None, bias=False, weight=lambda *_: scale, seed=1)
        y = model([0.5])
        y.backward()
        return model, draw(y, detail="layer").source

    model, source = deep(1e-3)
    assert "vanishing gradient" in source
    model, source = deep(1.0)
    assert "vanishing gradient" not in source
    del model


def test_half_a_million_values_and_a_sum_of_30_000_squares_are_collapsed(in_process):
    y = Value(1.0)
    for _ in range(250_000):
        y = y * 0.5 + 1
    picture = draw(y)
    assert "500,001 values in 12 boxes" in picture.source
    assert size_of(picture)[1] < 200
    x = [Value(float(i)) for i in range(30_000)]
    assert "30,000" in draw(sum([v * v for v in x])).source
    with pytest.raises(
        ValueError, match=r"500,001 boxes, more than the 5,000 .*: use detail='auto', or draw\(root, aro"
    ):
        draw(y, detail="all")


def test_a_graph_without_modules_is_collapsed_by_form():
    rows = [(Value(0.1 * i), Value(1.0)) for i in range(200)]
    w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    loss = mean([(w * x + b - y) ** 2 for x, y in rows])
    source = draw(loss).source
    assert source.count("× 200") == 6  # x and y, times, plus, minus, the square
    assert source.count("<B>w</B>") == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"detail": "fine"},
            ValueError,
            "draw knows no detail='fine': choose from auto, all, value, neuron, layer, model",
        ),
        ({"expand": "layers.9"}, ValueError, "draw has no group 'layers.9' to expand: there is 'MLP', 'layers.0'"),
        ({"expand": 3}, TypeError, r"draw takes expand='layers.1', or a list of such paths, got 3"),
        ({"around": Value(0.0)}, ValueError, "takes around=a value of the graph, got one outside it: Value"),
        ({"radius": -1, "around": 0}, ValueError, "takes a radius that is an int of 0 or more, got -1"),
    ],
)
def test_bad_options_are_one_clear_line(options, error, message):
    model, loss = model_and_loss(sizes=(2, 1))
    with pytest.raises(error, match=re.escape(message) if "\\" not in message else message):
        draw(loss, **options)
    del model


# Rendering


def test_an_svg_has_the_picture_in_words(in_process):
    svg = ElementTree.fromstring(draw(expression()).pipe("svg", encoding="utf-8"))
    assert svg.get("role") == "img"
    assert svg.get("aria-label").startswith("Computation graph of 6 boxes.")
    assert "y = −0.6351 grad 1" in svg.get("aria-label")


def test_a_display_hook_never_raises(in_process, monkeypatch):
    picture = draw(expression())
    monkeypatch.setattr(type(picture), "pipe", lambda *_, **__: 1 / 0)
    assert "not rendered: division by zero" in picture._repr_mimebundle_()["text/plain"]


def test_a_picture_is_a_digraph_and_shows_itself_in_a_notebook(in_process):
    import graphviz

    picture = draw(expression())
    assert isinstance(picture, graphviz.Digraph)
    bundle = picture._repr_mimebundle_()
    assert "<svg" in bundle["image/svg+xml"]
    assert picture._repr_mimebundle_(include=["image/png"])["image/png"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph")]
)
def test_rendering_in_this_process(in_process, tmp_path, suffix, start):
    out = tmp_path / "new" / f"y.{suffix}"
    assert draw(expression()).render(outfile=out, cleanup=True) == str(out)
    assert out.read_bytes().startswith(start)
    assert list(out.parent.iterdir()) == [out]


def test_render_writes_the_dot_text_beside_the_picture(in_process, tmp_path):
    picture = draw(expression())
    assert picture.render("y", directory=tmp_path, format="svg") == str(tmp_path / "y.svg")
    assert (tmp_path / "y").read_text(encoding="utf-8") == picture.source
    picture.render(outfile=tmp_path / "z.svg")
    assert sorted(os.listdir(tmp_path)) == ["y", "y.svg", "z.gv", "z.svg"]


@pytest.mark.parametrize("label", HOSTILE)
def test_any_label_is_drawn_as_text(in_process, label):
    a = Value(1.0, label=label)
    svg = draw(a * 2).pipe("svg", encoding="utf-8")
    assert len(ElementTree.fromstring(svg).findall(".//*[@class='node']")) == 3
    assert "\x1b" not in to_text(a)


def test_a_label_is_escaped_and_cut_to_length(in_process):
    svg = draw(Value(1.0, label='<b> "&" \\l'), Value(1.0, label="x" * 1000)).pipe("svg", encoding="utf-8")
    assert "&lt;b&gt; &quot;&amp;&quot; \\l" in svg
    assert f"{'x' * 19}…{'x' * 20}" in svg
    assert "x" * 40 not in svg


def test_rendering_by_the_program_dot(fake_dot, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    picture = draw(expression())
    assert picture.pipe("svg", encoding="utf-8") == "dot -Kdot -Tsvg digraph\n"
    assert picture._repr_mimebundle_()["image/svg+xml"] == "dot -Kdot -Tsvg digraph\n"
    picture.render(outfile=tmp_path / "y.png", cleanup=True)
    assert (tmp_path / "y.png").read_bytes() == b"dot -Kdot -Tpng digraph\n"


def test_no_file_is_written_or_changed_if_dot_fails(fake_dot, tmp_path):
    old = tmp_path / "y.gv"
    old.write_text("old")
    with pytest.raises(subprocess.CalledProcessError, match="as asked"):
        draw(Value(1.0, label="FAIL")).render(outfile=tmp_path / "y.svg", quiet=True)
    assert old.read_text() == "old"
    assert not (tmp_path / "y.svg").exists()


@pytest.mark.parametrize(
    ("kind", "error", "message"), [("svg", OSError, "disk full"), ("nosuch", ValueError, "unknown format: 'nosuch'")]
)
def test_nothing_is_left_if_writing_fails(in_process, tmp_path, monkeypatch, kind, error, message):
    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(error, match=message):
        draw(Value(1.0)).render("y", directory=tmp_path / "new", format=kind)
    assert not [*tmp_path.rglob("*y*")]


def test_without_graphviz_there_is_still_text_and_one_line_says_what_to_install(no_graphviz, tmp_path):
    picture = draw(expression())
    assert picture.source.startswith("digraph")
    message = r"no Graphviz to render with: pip install 'autograd-lite\[render\]', or put Graphviz's `dot` on the PATH"
    for render in (picture.pipe, lambda: picture.render("y", directory=tmp_path)):
        with pytest.raises(RuntimeError, match=message):
            render()
    bundle = picture._repr_mimebundle_()
    assert [*bundle] == ["text/plain"]
    assert re.search(f"Computation graph of 6 boxes.*y = −0.6351.*{message}", bundle["text/plain"], re.DOTALL)
    assert not [*tmp_path.iterdir()]


def test_without_the_package_graphviz_one_line_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "autograd_lite.drawing.picture", raising=False)
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(
        ImportError, match="draw needs the package graphviz: pip install graphviz; to_text needs nothing"
    ):
        draw(Value(1.0))


def test_graphviz_is_imported_only_to_draw():
    script = (
        "import sys, autograd_lite as al\n"
        "y = al.Value(1.0) + 1\n"
        "al.to_text(y)\n"
        "assert 'graphviz' not in sys.modules\n"
        "al.draw(y)\n"
        "assert 'graphviz' in sys.modules and 'pygraphviz' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


# Bad input


@pytest.mark.parametrize("drawing", [draw, to_text, to_mermaid, to_latex])
@pytest.mark.parametrize(
    ("roots", "message"),
    [
        ((), "takes one or more Values, got none"),
        ((3.0,), "takes one or more Values, got float '3.0'"),
        ((exp,), "takes one or more Values, got .*: call it, and give NAME the result"),
        (("y",), "takes one or more Values, got str 'y'"),
        (([1, 2],), r"got list '\[1, 2\]': unpack it, NAME\(\*values\)"),
    ],
)
def test_only_values_can_be_drawn(drawing, roots, message):
    with pytest.raises(TypeError, match=message.replace("NAME", drawing.__name__)):
        drawing(*roots)


@pytest.mark.parametrize(
    ("root", "message"),
    [(3.0, "to_html takes one Value, got float '3.0'"), ([1], r"to_html takes one Value, got list .*: choose one of")],
)
def test_the_page_takes_one_value(root, message):
    with pytest.raises(TypeError, match=message):
        to_html(root)


@pytest.mark.parametrize(("drawing", "limit"), [(to_mermaid, 200), (to_latex, 1000)])
def test_a_graph_too_large_to_read_is_refused(drawing, limit):
    y = Value(1.0)
    for _ in range(limit):
        y = y + 1
    message = (
        f"{drawing.__name__} of {limit + 1:,} nodes, more than max_nodes={limit:,}: "
        "draw a part of the graph, print(to_text(root)), or raise max_nodes"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        drawing(y)
    drawing(y, max_nodes=limit + 1)


# Text


def test_text_draws_a_shared_node_once():
    assert to_text(expression()) == (
        "y = tanh      -0.6351  grad  1\n"
        "└─ +          -0.75    grad  0.5966\n"
        "   ├─ ×       -1       grad  0.5966\n"
        "   │  ├─ a     2       grad -0.2983\n"
        "   │  └─ b    -0.5     grad  0.5966\n"
        "   └─ x²       0.25    grad  0.5966\n"
        "      └─ ↑ b"
    )


def test_text_numbers_shared_nodes_without_a_label():
    a = exp(Value(0.0))
    assert to_text(a * a) == "×            1  grad 0\n├─ #1 = eˣ   1  grad 0\n│  └─ value  0  grad 0\n└─ ↑ #1"


def test_text_tells_two_nodes_of_one_name_apart():
    a, b = Value(1.0, label="x"), Value(2.0, label="x")
    assert [line.split()[1] for line in to_text(a * a, b * b).splitlines()] == ["1", "x#1", "↑", "4", "x#2", "↑"]


def test_text_of_several_roots_refers_to_lines_above():
    a = Value(1.0, label="a")
    assert to_text(a, a + 1, a) == "a       1  grad 0\n+       2  grad 0\n├─ ↑ a\n└─ 1\n↑ a"


def test_text_is_aligned_by_columns_of_the_terminal():
    first, *_ = to_text(Value(1.0, label="한글") + Value(2.0, label="ab")).splitlines()[1:]
    assert first == "├─ 한글  1  grad 0"


def test_text_of_a_deep_graph_is_cut_and_counts_the_rest():
    y = Value(1.0)
    for _ in range(100_000):
        y = y + y
    lines = to_text(y).splitlines()
    assert len(lines) == 40
    assert lines[19].split()[-4:] == ["…", "inf", "grad", "0"]
    assert lines[-1] == "... and 99,981 more values"


def test_text_of_a_wide_graph_is_cut_and_counts_the_rest():
    lines = to_text(dot([Value(1.0) for _ in range(1000)], [2.0] * 1000), max_lines=11).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "... and 995 more values"


@pytest.mark.parametrize("limits", [{"max_lines": 0}, {"max_depth": -1}])
def test_text_takes_positive_limits(limits):
    with pytest.raises(ValueError, match=r"to_text takes ints of at least 1, got max_lines=.*, max_depth="):
        to_text(Value(1.0), **limits)


def test_text_shows_every_kind_of_operation():
    x = Value(2.0, label="x")
    text = to_text(where(step(x), -x, abs(x)) - x.sqrt() / x.exp())
    for sign in ("if", "step", "−x", "|x|", "−", "√x", "÷", "eˣ"):
        assert sign in text


# Mermaid


def test_mermaid_is_a_flowchart():
    y = 1 - Value(2.0, label="a")
    assert to_mermaid(y).splitlines()[0] == "flowchart LR"
    assert to_mermaid(y).splitlines()[4:] == [
        '    n0("<b>a</b> = 2<br>grad 0"):::leaf',
        '    n1("−<br>−1<br>grad 0"):::made',
        '    n1_1(["1"]):::constant',
        "    n1_1 -->|1| n1",
        "    n0 -->|2| n1",
    ]


@pytest.mark.parametrize("label", HOSTILE)
def test_mermaid_shows_any_label_as_entities(label):
    text = to_mermaid(Value(1.0, label=label)).splitlines()[4]
    assert re.fullmatch(r' +n0\("(<b>([\w .,=+]|#\d+;|[^\x00-\x7f])+</b> = )?1<br>grad 0"\):::leaf', text)


# LaTeX


x, a, w = Value(2.0, label="x"), Value(3.0, label="a"), Value(0.5, label="w12")


@pytest.mark.parametrize(
    ("root", "latex"),
    [
        (x, r"x"),
        (Value(-2.5), r"-2.5"),
        (x * (a + 1), r"x \cdot \left(a + 1\right)"),
        (x * a + 1, r"x \cdot a + 1"),
        (x - (a - 1), r"x - \left(a - 1\right)"),
        (x * -3, r"x \cdot \left(-3\right)"),
        ((-x) ** 2, r"\left(-x\right)^{2}"),
        ((x / a) ** -0.5, r"\left(\frac{x}{a}\right)^{-0.5}"),
        (x**a, r"x^{a}"),
        (x * 1e-7, r"x \cdot 1 \cdot 10^{-7}"),
        (x + math.inf, r"x + \infty"),
        (w.log() + x.exp(), r"\ln\left(w_{12}\right) + e^{x}"),
        (maximum(x, a).sqrt(), r"\sqrt{\max\left(x, a\right)}"),
        (dot([x, a], [w, 2.0]) * 2, r"\left(x \cdot w_{12} + a \cdot 2\right) \cdot 2"),
        (sum([x, a, w]), r"x + a + w_{12}"),
        (sum([x]), r"x"),
        (x.relu() + abs(a), r"\operatorname{relu}\left(x\right) + \left|a\right|"),
        (where(x, a, 1.0), r"\begin{cases} a & \text{if } x \neq 0 \\ 1 & \text{else} \end{cases}"),
        (Value(1.0, label="my_{%} é") + 1, r"\mathrm{my\_\{\%\}\ é} + 1"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_latex_of_each_operation(root, latex):
    assert to_latex(root) == latex


def test_latex_writes_shared_and_named_values_once():
    shared = x + 1
    named = shared * shared
    named.label = "loss"
    assert to_latex(named.tanh(), shared) == (
        "\\begin{aligned}\n"
        "t_{1} &= x + 1 \\\\\n"
        "\\mathrm{loss} &= t_{1} \\cdot t_{1} \\\\\n"
        "& \\tanh\\left(\\mathrm{loss}\\right)\n"
        "\\end{aligned}"
    )


def test_latex_names_are_unique():
    other = Value(5.0, label="x")
    first = Value(1.0, label="t1") + 1
    assert to_latex(x * other**2) == r"x \cdot \left(x^{(2)}\right)^{2}"
    assert "t_{2} &= t_{1} + 1" in to_latex(first * first)


def test_latex_grows_with_the_graph_and_not_with_its_paths():
    y = x
    for _ in range(300):
        y = y * y
    assert len(to_latex(y)) < 300 * 40


# The page that steps through (test_pages.py opens it in a browser)


def data_of(page):
    return json.loads(re.search(r"^const D = (.*);$", page, re.MULTILINE)[1])


def test_the_page_needs_nothing_from_elsewhere():
    page = to_html(expression())
    assert "@@" not in page
    assert not re.search(r"https?:(?!//www.w3.org/2000/svg)|src=|@import|<link|url\(", page)


@pytest.mark.parametrize("label", [*HOSTILE, "</script><script>alert(1)", "@@DATA@@", "x" * 1_000_000])
def test_the_page_has_any_label_as_data(label):
    page = to_html(Value(1.0, label=label) * 2)
    assert len(page) < 100_000
    assert page.count("<script") == page.count("</script") == 1
    assert "<" not in re.search(r"^const D = (.*)$", page, re.MULTILINE)[1]
    assert len(data_of(page)["nodes"]) == 2


def test_names_on_the_page_are_unique():
    assert data_of(to_html(Value(1.0, label="v1") + Value(2.0, label="v1") + Value(3.0)))["names"] == [
        "v1", "v2", "v3", "v4", "v5"
    ]  # fmt: skip


def test_the_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "new" / "page.html"
    assert to_html(expression(), file) == file.read_text(encoding="utf-8")
    monkeypatch.setattr("os.fsync", lambda _: exec("raise OSError('disk full')"))
    with pytest.raises(OSError, match="disk full"):
        to_html(Value(1.0), file)
    assert [*file.parent.iterdir()] == [file]
    assert "tanh" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("draw_it", [to_html, lambda y, path: draw(y).render(outfile=path)])
def test_a_path_that_cannot_be_written_is_named(tmp_path, in_process, draw_it):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "y.svg"
    with pytest.raises(OSError, match=f"cannot write .*{re.escape(str(tmp_path / 'file'))}.*: choose another path"):
        draw_it(Value(1.0), path)


# Derivatives in symbols


def shown_as(template, names="xyzuvw"):
    return template and "".join(
        piece if type(piece) is str else "z" if piece < 0 else names[piece] for piece in template
    )


@pytest.mark.parametrize(
    ("op", "written", "rule"),
    [
        ("mul", "x·y", ["y", "x"]),
        ("div", "x / y", ["1 / y", "−z / y"]),
        ("tanh", "tanh(x)", ["1 − z²"]),
        ("sigmoid", "sigmoid(x)", ["z·(1 − z)"]),
        ("exp", "e^x", ["z"]),
        ("acos", "acos(x)", ["−1 / √(1 − x²)"]),
        ("maximum", "maximum(x, y)", ["share(x, y)", "share(y, x)"]),
        ("step", "step(x)", [None]),
    ],
)
def test_formulas_are_written_from_the_table(op, written, rule):
    row = PRIMITIVES[op]
    args = [Value(1.0)] * row.arity
    assert shown_as(formula(row, args)) == written
    assert [*map(shown_as, derivatives(row, args))] == rule


def test_every_rule_of_the_table_can_be_written():
    for name, op in PRIMITIVES.items():
        args = [Value(1.0), 3.0] if name == "pow_const" else [Value(1.0)] * (op.arity or 4)
        flowing = [dx is not None for dx in op.partials(op.compute(*[0.5] * len(args)), *[0.5] * len(args))]
        assert [text is not None for text in derivatives(op, args)] == flowing, name


def test_the_rule_of_a_user_defined_primitive_is_written_unless_it_needs_numbers():
    @primitive(partials=lambda z, x: (3 * x**2 * x.exp(),))
    def written_by_the_user(x):
        return x

    @primitive(partials=lambda z, x: (math.cos(x),))
    def needs_a_number(x):
        return math.sin(x)

    assert [*map(shown_as, derivatives(written_by_the_user, [Value(1.0)]))] == ["3·x²·exp(x)"]
    assert derivatives(needs_a_number, [Value(1.0)]) == [None]
    assert data_of(to_html(needs_a_number(Value(1.0))))["partials"][1] == [math.cos(1.0)]


# The demo


def test_the_demo_differentiates_and_draws(tmp_path):
    pytest.importorskip("pygraphviz")
    out = tmp_path / "expression.svg"
    demo = [sys.executable, str(ROOT / "demos" / "expressions.py"), "--out", str(out)]
    printed = subprocess.run(
        demo, check=True, capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    ).stdout
    numbers = dict(line.split(" = ") for line in printed.splitlines()[:4])
    assert numbers == {"y": "-0.635149", "dy/da": "-0.298293", "dy/db": "0.596586", "finite difference": "0.596586"}
    assert to_text(expression()) in printed
    assert (
        out.read_text(encoding="utf-8").count('<g id="node')
        == (ROOT / "demos" / "expression.svg").read_text(encoding="utf-8").count('<g id="node')
        == 6
    )
