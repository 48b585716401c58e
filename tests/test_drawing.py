"""Pictures of graphs: what they say, how they are rendered, and what is said where they cannot be."""

# ruff: noqa: A004, RUF001
import doctest
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from autograd_lite import (
    Value,
    dot,
    draw,
    exp,
    maximum,
    primitive,
    step,
    sum,
    tanh,
    to_html,
    to_latex,
    to_mermaid,
    to_text,
    where,
)
from autograd_lite.drawing import latex, text
from autograd_lite.drawing.notation import number
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


def test_where_order_matters_arguments_arrive_in_their_order():
    a, b = Value(1.0), Value(2.0)
    source = draw(a / b).source
    assert "n0:e -> n2:0:w" in source
    assert "n1:e -> n2:1:w" in source


def test_a_dot_product_shows_its_factors_in_pairs():
    w, x = [Value(1.0, "w0"), Value(2.0, "w1")], [3.0, 4.0]
    assert [line.split()[-1] for line in to_text(dot(w, x)).splitlines()[2::2]] == ["3", "4"]


def test_several_roots_share_what_they_share():
    a = Value(1.0)
    assert draw(a + 1, a + 2).source.count("<TABLE") == 3


def test_operations_of_ones_own_are_called_by_name():
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


# Rendering


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


def test_render_leaves_the_dot_text_beside_the_picture(in_process, tmp_path):
    picture = draw(expression())
    assert picture.render("y", directory=tmp_path, format="svg") == str(tmp_path / "y.svg")
    assert (tmp_path / "y").read_text(encoding="utf-8") == picture.source
    picture.render(outfile=tmp_path / "z.svg")
    assert sorted(os.listdir(tmp_path)) == ["y", "y.svg", "z.gv", "z.svg"]


@pytest.mark.parametrize("label", HOSTILE)
def test_any_label_is_drawn_as_it_is(in_process, label):
    a = Value(1.0, label=label)
    svg = draw(a * 2).pipe("svg", encoding="utf-8")
    assert len(ElementTree.fromstring(svg).findall(".//*[@class='node']")) == 3
    assert "\x1b" not in to_text(a)


def test_a_label_is_escaped_and_cut_to_length(in_process):
    svg = draw(Value(1.0, label='<b> "&" \\l'), Value(1.0, label="x" * 1000)).pipe("svg", encoding="utf-8")
    assert "&lt;b&gt; &quot;&amp;&quot; \\l" in svg
    assert "x" * 39 + "…" in svg
    assert "x" * 40 not in svg


def test_rendering_by_the_program_dot(fake_dot, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    picture = draw(expression())
    assert picture.pipe("svg", encoding="utf-8") == "dot -Kdot -Tsvg digraph\n"
    assert picture._repr_mimebundle_()["image/svg+xml"] == "dot -Kdot -Tsvg digraph\n"
    picture.render(outfile=tmp_path / "y.png", cleanup=True)
    assert (tmp_path / "y.png").read_bytes() == b"dot -Kdot -Tpng digraph\n"


def test_where_dot_fails_no_file_is_written_or_changed(fake_dot, tmp_path):
    old = tmp_path / "y.gv"
    old.write_text("old")
    with pytest.raises(subprocess.CalledProcessError, match="as asked"):
        draw(Value(1.0, label="FAIL")).render(outfile=tmp_path / "y.svg", quiet=True)
    assert old.read_text() == "old"
    assert not (tmp_path / "y.svg").exists()


@pytest.mark.parametrize("kind", ["svg", "nosuch"])
def test_where_writing_fails_nothing_is_left(in_process, tmp_path, monkeypatch, kind):
    def full(path, content):
        path.touch()
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises((OSError, ValueError), match=r"disk full|unknown format: 'nosuch'"):
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


@pytest.mark.parametrize("module", [latex, text], ids=lambda module: module.__name__)
def test_examples_in_docstrings_are_true(module):
    assert doctest.testmod(module) == (0, 3)


# Bad input


@pytest.mark.parametrize("drawing", [draw, to_text, to_mermaid, to_latex])
@pytest.mark.parametrize(
    ("roots", "message"),
    [
        ((), "takes one or more Values, got none"),
        ((3.0,), "takes one or more Values, got float '3.0'"),
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
def test_the_page_is_of_one_value(root, message):
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


def test_text_names_what_is_shared_and_has_no_name_of_its_own():
    a = exp(Value(0.0))
    assert to_text(a * a) == "×            1  grad 0\n├─ #1 = eˣ   1  grad 0\n│  └─ value  0  grad 0\n└─ ↑ #1"


def test_text_tells_two_nodes_of_one_name_apart():
    a, b = Value(1.0, label="x"), Value(2.0, label="x")
    assert [line.split()[1] for line in to_text(a * a, b * b).splitlines()] == ["1", "x#1", "↑", "4", "x#2", "↑"]


def test_text_of_several_roots_refers_back():
    a = Value(1.0, label="a")
    assert to_text(a, a + 1, a) == "a       1  grad 0\n+       2  grad 0\n├─ ↑ a\n└─ 1\n↑ a"


def test_text_is_aligned_by_columns_of_the_terminal():
    first, *_ = to_text(Value(1.0, label="한글") + Value(2.0, label="ab")).splitlines()[1:]
    assert first == "├─ 한글  1  grad 0"


def test_text_of_a_deep_graph_is_short_and_says_what_it_left_out():
    y = Value(1.0)
    for _ in range(100_000):
        y = y + y
    lines = to_text(y).splitlines()
    assert len(lines) == 40
    assert lines[19].split()[-4:] == ["…", "inf", "grad", "0"]
    assert lines[-1] == "... and 99,981 more values"


def test_text_of_a_wide_graph_is_short_and_says_what_it_left_out():
    lines = to_text(dot([Value(1.0) for _ in range(1000)], [2.0] * 1000), max_lines=11).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "... and 995 more values"


@pytest.mark.parametrize("limits", [{"max_lines": 0}, {"max_depth": -1}])
def test_text_takes_positive_limits(limits):
    with pytest.raises(ValueError, match=r"to_text takes positive limits, got max_lines=.*, max_depth="):
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
def test_latex_is_written_as_mathematics_is(root, latex):
    assert to_latex(root) == latex


def test_latex_binds_what_is_shared_or_has_a_name():
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


def test_latex_gives_no_two_values_one_name():
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
    monkeypatch.setattr(Path, "write_bytes", lambda path, content: path.touch() or exec("raise OSError('disk full')"))
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


def test_a_rule_of_the_user_is_written_too_unless_it_needs_numbers():
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
