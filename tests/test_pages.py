"""The page of `to_html` in a real browser: stepped by keys and clicks, opened and closed, its numbers compared."""

# ruff: noqa: A004, RUF001
import math
import re

import pytest

import nn
from autograd_lite import (
    Value,
    dot,
    draw,
    explain,
    maximum,
    mean,
    names_of,
    scope,
    sum,
    tanh,
    to_html,
    topological_order,
    where,
)
from autograd_lite.drawing.notation import number, typeset


@pytest.fixture
def show(open_page, tmp_path):
    """A function that opens the page of a Value in the browser."""

    def opened(root, max_nodes=20_000, **options):
        file = tmp_path / "page.html"
        to_html(root, file, max_nodes=max_nodes)
        return open_page(file, **options)

    return opened


KEPT = []  # models, kept alive because the page takes names from them


def expression():
    a, b = Value(2.0, label="a"), Value(-0.5, label="b")
    y = tanh(a * b + b**2)
    y.label = "y"
    return y


def network(rows=1):
    model = nn.MLP(2, [4, 3, 1], seed=1)
    KEPT.append(model)
    X = [[1.0 + 0.1 * i, -2.0] for i in range(rows)]
    losses = [nn.hinge(model(x), 1.0) for x in X]
    loss = mean(losses) if rows > 1 else losses[0]
    loss.label = "loss"
    return loss, model


def text(page, selector):
    return page.locator(selector).inner_text()


def items(page):
    return [item.split("\n") for item in page.locator("#rows li").all_inner_texts()]


def to_the_end(page):
    """Step by the arrow key until the last step; the number of steps."""
    steps = int(text(page, "#count").split(" / ")[1])
    for _ in range(steps):
        page.keyboard.press("ArrowRight")
    assert text(page, "#count") == f"{steps} / {steps}"
    assert page.locator("#next").is_disabled()
    return steps


def test_every_step_of_an_expression_says_what_is_computed(show):
    page = show(expression())
    assert text(page, "#formula") == "a = 2, b = −0.5"
    told = []
    while page.locator("#next").is_enabled():
        page.keyboard.press("ArrowRight")
        told.append(text(page, "#formula"))
    assert told == [
        "v2 = a·b = 2·(−0.5) = −1",
        "v3 = b² = (−0.5)² = 0.25",
        "v4 = v2 + v3 = −1 + 0.25 = −0.75",
        "y = tanh(v4) = tanh(−0.75) = −0.6351",
        "dy/dy = 1",
        "y.grad = 1 goes to the arguments of y = tanh(v4)",
        "v4.grad = 0.5966 goes to the arguments of v4 = v2 + v3",
        "v3.grad = 0.5966 goes to the arguments of v3 = b²",
        "v2.grad = 0.5966 goes to the arguments of v2 = a·b",
    ]
    assert items(page) == [
        ["∂v2/∂a = b = −0.5", "times v2.grad: 0.5966 × (−0.5) = −0.2983", "a.grad = −0.2983"],
        ["∂v2/∂b = a = 2", "times v2.grad: 0.5966 × 2 = 1.193", "b.grad = −0.5966 + 1.193 = 0.5966"],
    ]
    page.keyboard.press("Home")
    for _ in range(6):
        page.click("#next")
    assert items(page)[0][0] == "∂y/∂v4 = 1 − y² = 1 − (−0.6351)² = 0.5966"
    page.click("#back")
    assert text(page, "#formula") == "dy/dy = 1"
    page.locator("#slider").fill("2")
    assert text(page, "#formula") == "v3 = b² = (−0.5)² = 0.25"
    page.click("#last")
    assert text(page, "#count") == "9 / 9"


def rugged():
    a, b = Value(1.5, label="a"), Value(-0.7, label="b")
    return where((a + 1).relu(), dot([a, b], [b, 2.0]), a) * maximum(a, b) + (a - b).relu() / a**2 + sum([a, b, a])


@pytest.mark.parametrize("make", [rugged, lambda: network()[0], lambda: network(2)[0]])
def test_the_page_ends_with_the_gradients_of_backward(show, make):
    root = make()
    page = show(root)
    assert to_the_end(page) == 2 * len([node for node in topological_order(root) if node.args]) + 1
    root.backward()
    order = topological_order(root)
    assert page.evaluate("Array.from(gradients(last))") == [node.grad for node in order]
    assert page.evaluate("N.map(n => n.x)") == [node.data for node in order]
    numbers = [0.0, -0.0, 3.0, math.pi, 1e-5, 123456.7, 1234567.0, -1e-300, math.inf, 0.1 + 0.2, 99999.5]
    assert [page.evaluate("x => num(Number(x))", str(x).replace("inf", "Infinity")) for x in numbers] == [
        typeset(number(x)) for x in numbers
    ]


def test_the_boxes_show_the_numbers_of_the_engine(show):
    root = expression()
    page = show(root)
    page.keyboard.press("End")
    root.backward()
    shown = page.locator("g.box").all_text_contents()
    for node in topological_order(root):
        name = node.label or ""
        assert any(
            name in box and typeset(number(node.data)) in box and f"grad {typeset(number(node.grad))}" in box
            for box in shown
        )


def test_no_gradient_flows_through_a_selecting_operation_that_blocks_it(show):
    page = show(Value(-1.0, label="a").relu())
    page.keyboard.press("End")
    assert items(page) == [["∂v1/∂a = step(a) = step(−1) = 0", "nothing is added: a.grad = 0"]]
    page = show(where(Value(math.inf, label="c"), 1.0, 2.0))
    page.keyboard.press("End")
    assert items(page) == [["∂v1/∂c = nothing flows", "nothing is added: c.grad = 0"]]


def test_groups_open_and_close_by_clicks_and_keys(show):
    loss, model = network()
    page = show(loss)
    while page.locator("g.frame").count():
        page.locator("g.frame").first.click(position={"x": 5, "y": 5})
    assert page.locator("g.box").count() == 4  # x0, x1, the model and the loss
    page.locator("g.box", has_text="MLP").click()
    assert page.locator("g.box", has_text="layers.").count() == 3
    page.locator("g.box", has_text="layers.1").focus()
    page.keyboard.press("Enter")
    assert page.locator("g.box", has_text="neurons.").count() == 3
    page.locator("g.box", has_text="neurons.2").focus()
    page.keyboard.press(" ")
    page.keyboard.press("End")
    loss.backward()
    neuron = model.layers[1].neurons[2]
    rows = page.locator("g.box", has_text="Σ").first.locator("text").all_text_contents()
    assert rows[:2] == ["w0", typeset(number(neuron.w[0].data))]
    assert typeset(number(neuron.w[0].grad)) in rows
    page.locator("g.frame", has_text="layers.1").focus()
    page.keyboard.press("Enter")
    assert page.locator("g.box", has_text="layers.").count() == 3


@pytest.mark.parametrize("make", [expression, rugged, lambda: network(3)[0]])
def test_a_click_on_a_value_lists_the_paths_of_explain(show, make):
    root = make()
    page = show(root)
    x = next(node for node in topological_order(root) if node.op is None)
    i = topological_order(root).index(x)
    page.evaluate("i => pick(i)", i)
    why = explain(root, x, k=8)
    told = page.evaluate("i => paths(i, 8)", i)
    assert told["total"] == pytest.approx(why.total, rel=1e-12)
    assert told["count"] == why.count
    products = [path.product for path in why.paths]
    assert [path["product"] for path in told["list"]] == pytest.approx(products, rel=1e-12)
    assert f"{typeset(number(why.total))}, the sum over {why.count}" in text(page, "#picked p")


def test_a_click_on_a_box_selects_its_value_and_a_second_click_deselects_it(show):
    page = show(expression())
    box = page.locator("g.box", has_text="b").nth(0)
    box.click()
    assert text(page, "#picked h2") == "The gradient of b"
    box.click()
    assert page.locator("#picked h2").count() == 0


def test_a_click_scrolls_its_details_into_view_below_a_wide_neuron(show):
    neuron = nn.Neuron(30, seed=1)
    KEPT.append(neuron)
    page = show(neuron([Value(0.1 * i) for i in range(30)]))
    page.keyboard.press("End")
    assert len(items(page)) == 61
    page.locator("g.box").last.click()
    top = page.evaluate("the('picked').getBoundingClientRect().top")
    assert 0 < top < 800


def test_shift_and_an_arrow_go_to_the_next_box(show):
    page = show(network()[0])
    seen = []
    for _ in range(12):
        page.keyboard.press("Shift+ArrowRight")
        seen.append((int(text(page, "#count").split(" / ")[0]), page.locator("g.box.now").get_attribute("data-key")))
    assert len({box for _, box in seen[:9]}) == 9  # eight neurons and the loss, in fewer steps than there are values
    assert seen[8][0] > 9


def test_it_plays_to_the_end_and_pauses(show):
    page = show(expression())
    page.clock.install()
    page.keyboard.press("p")
    assert text(page, "#play") == "Pause"
    page.clock.run_for(1500)
    page.keyboard.press("p")
    assert text(page, "#count") == "2 / 9"
    page.click("#play")
    page.clock.run_for(20_000)
    assert text(page, "#count") == "9 / 9"
    assert text(page, "#play") == "Play"


@pytest.mark.parametrize(
    "label",
    [
        '"><img src=x onerror=alert(1)>',
        "</script><script>alert(1)</script>",
        "\\u003cb>",
        "a\x00\x1b[31mb",
        "'`${1}",
        "\ud800",
        "x" * 1_000_000,
    ],
)
def test_any_label_is_shown_as_text(show, label):
    a = Value(2.0, label=label)
    page = show(a * a)
    page.keyboard.press("End")
    page.locator("g.box").first.click()
    shown = text(page, "#picked h2").removeprefix("The gradient of ")
    assert shown[:2] == label[:2].replace("\x00", "\N{REPLACEMENT CHARACTER}").replace(
        "\ud800", "\N{REPLACEMENT CHARACTER}"
    )
    assert len(shown) <= 40
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1


def test_boxes_and_controls_have_names_and_roles(show):
    page = show(network()[0])
    assert page.get_by_role("button", name="next step").count() == 1
    assert page.get_by_role("slider", name="step").count() == 1
    assert page.get_by_role("button", name=re.compile("open neurons.0")).count() == 3
    assert page.get_by_role("button", name="close layers.0").get_attribute("aria-expanded") == "true"
    assert page.locator("section[aria-live=polite]").count() == 2
    page.keyboard.press("ArrowRight")
    assert page.locator("#slider").get_attribute("aria-valuetext").startswith("Forward, 1 of")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(390, 760), (1280, 800)], ids=["phone", "desk"])
def test_it_is_readable_in_light_and_dark_on_a_phone_and_a_desk(show, scheme, size):
    page = show(network()[0], color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    page.keyboard.press("End")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    colours = page.evaluate(
        """() => [...document.querySelectorAll("#title, #formula, .sum, .product, button")].map(e => {
            let around = e;
            while (/rgba\\(.*, 0\\)/.test(getComputedStyle(around).backgroundColor)) around = around.parentElement;
            return [getComputedStyle(e).color, getComputedStyle(around).backgroundColor];
        })"""
    )
    for ink, paper in colours:
        assert contrast(ink, paper) >= 4.5
    page.click("#theme")
    assert page.evaluate("document.documentElement.className") == ("" if scheme == "dark" else "dark")


def contrast(ink, paper):
    def light(colour):
        parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
        parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted([light(ink), light(paper)])
    return (high + 0.05) / (low + 0.05)


def test_boxes_do_not_overlap(show):
    page = show(network()[0])
    page.locator("g.box", has_text="neurons.1").first.click()
    boxes = page.evaluate("[...view.boxes.values()].map(b => [b.x, b.y, b.w, b.h])")
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_a_large_batch_is_shown_with_one_box_for_all_its_rows(show):
    model = nn.MLP(2, [8, 8, 1], seed=1)
    loss = mean([nn.hinge(model([0.01 * i, 1.0]), 1.0) for i in range(150)])
    page = show(loss)
    assert page.locator("g.box").count() < 40
    page.locator("g.box", has_text="loss").click()
    assert "× 150" in "".join(page.locator("g.box").all_text_contents())
    page.keyboard.press("End")
    loss.backward()
    assert page.evaluate("Array.from(gradients(last))") == [node.grad for node in topological_order(loss)]


def written_out(rows):
    """The loss of a batch in plain arithmetic: no dot products, no mean."""
    model = nn.MLP(2, [4, 3, 1], seed=1)
    KEPT.append(model)
    losses = []
    for i in range(rows):
        x = [0.3 + 0.1 * i, -0.6 + 0.2 * i]
        for layer in model.layers:
            sums = [sum([w * x for w, x in zip(n.w, x, strict=True)]) + n.b for n in layer.neurons]
            x = [z.relu() for z in sums] if len(sums) > 1 else sums
        losses.append((1 - x[0]).relu())
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total / rows, model


@pytest.mark.parametrize("make", [lambda: network(5), lambda: written_out(5)])
def test_values_that_are_made_alike_share_a_step_of_a_large_graph(show, make):
    loss, model = make()
    page = show(loss, max_nodes=10)
    assert "values in" in text(page, "#formula")
    steps = to_the_end(page)
    assert steps < len(topological_order(loss))
    loss.backward()
    gradients = dict(page.evaluate("N.map(n => [n.name, gradients(last)[n.i]])"))
    names = names_of(topological_order(loss))
    for p in model.parameters():
        assert gradients[names[p]] == pytest.approx(p.grad, rel=1e-12, abs=1e-300)
    numbers = page.evaluate("N.map(n => [n.low, n.high, n.size])")
    order = topological_order(loss)
    assert min(low for low, _, _ in numbers) == min(node.data for node in order)
    assert max(high for _, high, _ in numbers) == max(node.data for node in order)
    assert max(size for _, _, size in numbers) == max(abs(node.grad) for node in order)
    assert any("5" in item[1] and "product" in item[1] for item in items(page)), items(page)
    page.evaluate("pick(N.findIndex(n => n.name === 'layers.1.neurons.1.w.2'))")
    assert text(page, "#picked td.gradient") == typeset(number(model.layers[1].neurons[1].w[2].grad))


def test_inputs_that_differ_between_rows_are_named_after_their_own_weights(show):
    model = nn.MLP(2, [3, 1], seed=1)
    page = show(mean([nn.hinge(model([1.0 + 0.1 * i, 0.2 * i - 2.0]), 1.0) for i in range(6)]), max_nodes=10)
    products = page.evaluate("N.filter(n => n.op && n.op[4]).map(n => written(n.op[2], n, symbols))")
    assert "w0·x0 + w1·x1 + b·1" in products
    assert not any("w1·x0" in product for product in products)


def test_a_shared_step_shows_the_first_of_its_values_and_the_range_of_all(show):
    w = Value(2.0, label="w")
    y = sum([(w * (1.0 + i)).tanh() for i in range(20)])
    page = show(y, max_nodes=10)
    page.keyboard.press("ArrowRight")
    assert text(page, "#title") == "Forward, 1 of 3: mul × 20"
    assert text(page, "#formula") == "v1 = w·c, in the first of 20: 2·1 = 2. All: 2 … 40"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert text(page, "#formula") == "v3 = sum of 20 values: v2 = 19.96"
    page.keyboard.press("End")
    y.backward()
    assert items(page) == [
        [
            "∂v1/∂w = c = 1 … 20",
            f"times the 20 gradients of v1: the sum of 20 products is {num(w)}",
            f"w.grad = {num(w)}",
        ]
    ]


def num(x):
    return typeset(number(x.grad))


def test_a_long_graph_without_modules_is_stepped_through_in_twelfths(show):
    x = Value(0.5, label="x")
    y = x
    for i in range(30_000):
        y = (y * x).tanh() if i % 3 else y + 0.1 * x
    page = show(y)
    assert to_the_end(page) < 40
    assert re.fullmatch(r"Backward, (\d+) of \1: [\d,]+ values", text(page, "#title"))
    y.backward()
    largest = max(abs(node.grad) for node in topological_order(y))
    assert page.evaluate("Math.max(...N.map(n => n.size))") == pytest.approx(largest, rel=1e-12)


def test_the_largest_number_of_nodes_is_an_int():
    with pytest.raises(ValueError, match="to_html takes max_nodes, an int of 0 or more, got -1"):
        to_html(Value(1.0), max_nodes=-1)


def test_a_scope_is_a_group_that_opens(show):
    x = Value(2.0, label="x")
    with scope("attention"):
        y = x
        for _ in range(70):
            y = (y * x).tanh()
    page = show(y + 1)
    page.locator("g.box", has_text="attention").click()
    assert page.locator("g.frame", has_text="attention").count() == 1


def test_a_notebook_shows_the_page_of_an_interactive_picture(browser):
    bundle = draw(expression(), interactive=True)._repr_mimebundle_()
    page = browser.new_page()
    page.set_content(bundle["text/html"])
    frame = page.frames[1]
    frame.locator("#last").click()
    assert frame.locator("#count").inner_text() == "9 / 9"
    page.close()
