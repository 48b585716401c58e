"""fit, predict, evaluate: learning, reports, interruptions; compiled training gives the numbers of eager training."""

import math
import warnings

import pytest

import nn
from autograd_lite import Value, log, tanh

X = [[0.1 * i, math.sin(i)] for i in range(24)]
Y = [1.0 if x - y > 1 else -1.0 for x, y in X]
LABELS = [i % 3 for i in range(24)]


def moons_model(seed=1):
    return nn.MLP(2, [6, 1], seed=seed)


def train(model=None, optimizer=None, loss=nn.hinge, y=Y, **settings):
    model = model or moons_model()
    optimizer = optimizer or nn.SGD(model.parameters(), lr=0.1, momentum=0.5)
    history = nn.fit(model, X, y, loss, optimizer, **{"epochs": 6, "batch_size": 5, "verbose": False} | settings)
    return model, history


def losses(history):
    return [{name: x for name, x in row.items() if name != "seconds"} for row in history.rows]


def test_fit_learns():
    model, history = train(epochs=60, metrics=[nn.accuracy])
    assert history["accuracy"][-1] == 1.0
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert nn.evaluate(model, X, Y, nn.hinge, [nn.accuracy])["accuracy"] == 1.0
    assert all((p > 0) == (t > 0) for p, t in zip(nn.predict(model, X), Y, strict=True))


@pytest.mark.parametrize(
    ("model", "loss", "y"),
    [
        (lambda: nn.MLP(2, [6, 1], seed=1), nn.hinge, Y),
        (lambda: nn.MLP(2, [5, 3], "tanh", seed=1), nn.cross_entropy, LABELS),
        (lambda: nn.MLP(2, [5, 1], "gelu", "sigmoid", seed=1), nn.binary_cross_entropy, [(t + 1) / 2 for t in Y]),
        (lambda: nn.Sequential(nn.Layer(2, 3, seed=1), tanh, nn.Layer(3, 2, seed=2)), nn.huber, [[t, -t] for t in Y]),
    ],
    ids=["hinge", "cross_entropy", "binary_cross_entropy", "huber"],
)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1, "clip_value": 0.05}], ids=["", "clipped"])
def test_compiled_and_eager_training_give_the_same_numbers(model, loss, y, settings):
    runs = []
    for jit in (True, False):
        trained = model()
        optimizer = nn.Adam(trained.parameters(), lr=0.01)
        _, history = train(trained, optimizer, loss, y, jit=jit, validation_split=0.25, **settings)
        numbers = [p.data for p in trained.parameters()]
        runs.append((numbers, history["loss"], history["val_loss"], optimizer.state["exp_avg"], optimizer.steps))
    for fast, slow in zip(*runs, strict=True):
        assert fast == pytest.approx(slow, rel=1e-10, abs=1e-13)


def test_the_steps_of_fit_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    model = moons_model()
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 1)).double()
    theirs.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in model.state_dict().items()})
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(
            theirs(torch.tensor(X, dtype=torch.float64))[:, 0], torch.tensor(Y, dtype=torch.float64)
        ).backward()
        optimizer.step()
    train(model, loss=nn.mse, batch_size=None, epochs=100)
    assert [p.data for p in model.parameters()] == pytest.approx(
        [number for p in theirs.parameters() for number in p.flatten().tolist()], rel=1e-10
    )


def test_a_loss_that_cannot_be_compiled_is_trained_eagerly_with_one_warning():
    def loss(p, t):
        return nn.mse(p, t) if p > t else nn.mae(p, t)

    with pytest.warns(
        UserWarning, match=r"fit trains eagerly, and slowly, as the loss cannot be compiled: .*"
    ) as caught:
        _, history = train(loss=loss)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert losses(train(loss=loss, jit=False)[1]) == losses(history)


def test_a_seed_fixes_the_order_and_the_split():
    first, again, other = (train(seed=seed, validation_split=0.25)[1] for seed in (3, 3, 4))
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)
    assert losses(train(shuffle=False)[1]) == losses(train(shuffle=False, seed=9)[1])


def test_validation_rows_are_not_trained_on():
    held = ([[9.0, 9.0]], [1.0])
    model, history = train(validation_data=held, metrics=[nn.accuracy])
    assert list(history.rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert losses(history)[-1]["loss"] == losses(train()[1])[-1]["loss"]
    assert history["val_loss"][-1] == nn.evaluate(model, *held, nn.hinge)["loss"]


def test_a_schedule_sets_the_rate_of_each_epoch():
    model = moons_model()
    optimizer = nn.SGD(model.parameters(), lr=0.8)
    _, history = train(model, optimizer, schedule=nn.ExponentialLR(optimizer, 0.5))
    assert history["lr"] == [0.8, 0.4, 0.2, 0.1, 0.05, 0.025]


def test_early_stopping_restores_the_best_parameters():
    model, best = moons_model(), {}

    def remember(history):
        if history["val_loss"][-1] == min(history["val_loss"]):
            best.update(model.state_dict())

    optimizer = nn.SGD(model.parameters(), lr=0.6)
    _, history = train(model, optimizer, epochs=200, validation_split=0.3, patience=4, callbacks=[remember])
    assert len(history) < 200
    assert history.stopped.startswith("no better loss for 4 epochs: back to epoch")
    assert len(history) - 4 == 1 + history["val_loss"].index(min(history["val_loss"]))
    assert model.state_dict() == best


def test_a_callback_may_end_the_training():
    seen = []
    _, history = train(callbacks=[seen.append, lambda history: len(history) == 3])
    assert len(seen) == len(history) == 3
    assert history.stopped == "ended by a callback in epoch 3"


@pytest.mark.parametrize("jit", [True, False])
def test_ctrl_c_keeps_parameters_and_history(jit):
    def interrupt(history):
        if len(history) == 4:
            raise KeyboardInterrupt

    model, history = train(epochs=9, jit=jit, callbacks=[interrupt])
    assert len(history) == 4
    assert history.stopped == "interrupted in epoch 5"
    assert model.state_dict() == train(epochs=4, jit=jit)[0].state_dict()


@pytest.mark.parametrize("jit", [True, False])
def test_ctrl_c_in_the_middle_of_an_epoch_keeps_the_steps_that_were_made(jit, monkeypatch):
    from nn.steps import Stepper

    step, calls = Stepper.step, []

    def interrupted(self, rows):
        calls.append(rows)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return step(self, rows)

    monkeypatch.setattr(Stepper, "step", interrupted)
    model, history = train(jit=jit)
    assert (len(history), history.stopped) == (1, "interrupted in epoch 2")
    assert model.state_dict() != train(epochs=1, jit=jit)[0].state_dict()
    assert all(math.isfinite(p.data) for p in model.parameters())


@pytest.mark.parametrize("jit", [True, False])
def test_divergence_is_reported_and_the_last_finite_parameters_are_kept(jit):
    model = nn.MLP(2, [6, 1], activation=None, seed=1)
    optimizer = nn.SGD(model.parameters(), lr=5.0, momentum=0.9)
    kept = []
    with pytest.raises(nn.DivergenceError, match=r"diverged in epoch \d+ .* below 5, clip_norm, or") as caught:
        train(model, optimizer, nn.mse, epochs=300, jit=jit, callbacks=[lambda _: kept.append(model.state_dict())])
    history = caught.value.history
    assert f"in epoch {len(history) + 1} " in str(caught.value)
    assert model.state_dict() == kept[-1]
    assert all(math.isfinite(number) for number in [*history["loss"], *optimizer.state["momentum_buffer"]])


def test_training_continues_a_history():
    model, optimizer = moons_model(), None
    optimizer = nn.Adam(model.parameters())
    _, history = train(model, optimizer, epochs=2)
    _, history = train(model, optimizer, epochs=6, history=history)
    whole = moons_model()
    _, expected = train(whole, nn.Adam(whole.parameters()))
    assert losses(history) == losses(expected)
    assert model.state_dict() == whole.state_dict()


def test_a_history_is_a_table_and_columns():
    _, history = train(epochs=40, metrics=[nn.accuracy])
    lines = str(history).splitlines()
    assert lines[0].split() == ["epoch", "loss", "accuracy", "seconds"]
    assert len(lines) == 27
    assert [lines[2].split()[0], lines[-1].split()[0]] == ["1", "40"]
    assert len({len(line) for line in lines}) == 1
    with pytest.raises(KeyError, match="the history has no 'val_loss': it has epoch, loss, accuracy, seconds"):
        history["val_loss"]


def test_verbose_prints_an_aligned_line_for_each_epoch(capsys):
    _, history = train(verbose=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed == str(history).splitlines()
    train(verbose=None)  # not at a terminal
    assert capsys.readouterr() == ("", "")


def test_without_tqdm_the_lines_are_the_same(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    _, history = train(verbose=True)
    assert capsys.readouterr().out.splitlines() == str(history).splitlines()


def test_predict_agrees_with_the_model():
    model = nn.MLP(2, [4, 3], output="sigmoid", seed=0)
    expected = [[z.data for z in model(x)] for x in X]
    for jit in (True, False):
        for found, row in zip(nn.predict(model, X, jit=jit), expected, strict=True):
            assert found == pytest.approx(row, rel=1e-12)
    with pytest.warns(UserWarning, match="predict calls the model row by row, .* cannot be compiled: .*max") as caught:
        branching = nn.predict(lambda x: max(x, 0.0), [1.0, -1.0])
    assert [(w.category, w.filename) for w in caught] == [(UserWarning, __file__)]
    assert branching == nn.predict(lambda x: max(x, 0.0), [1.0, -1.0], jit=False)
    assert branching == [1.0, 0.0]


def test_data_may_be_arrays():
    np = pytest.importorskip("numpy")
    listed, rows = train(), nn.fit
    model = moons_model()
    optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.5)
    rows(model, np.array(X), np.array(Y), nn.hinge, optimizer, epochs=6, batch_size=5, verbose=False)
    assert model.state_dict() == listed[0].state_dict()


def with_row(i, row):
    return [*X[:i], row, *X[i + 1 :]]


def fit(X=X, y=Y, loss=nn.hinge, model=None, **settings):
    model = model or moons_model()
    nn.fit(model, X, y, loss, nn.SGD(model.parameters()), **settings)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: fit(X=with_row(3, [1.0])), ValueError, r"row 3 of X has shape \(1,\), and row 0 has \(2,\)"),
        (lambda: fit(X=with_row(5, [math.nan, 0.0])), ValueError, "row 5 of X has nan: leave such rows out"),
        (lambda: fit(X=with_row(5, [math.inf, 0.0])), ValueError, "row 5 of X has inf"),
        (lambda: fit(X=with_row(5, ["1", 0.0])), TypeError, "row 5 of X has '1' where a number should be"),
        (lambda: fit(y=[*Y[:-1], None]), TypeError, "row 23 of y has None where a number should be"),
        (lambda: fit(y=Y[:-1]), ValueError, "one target for each row, got 24 rows in X and 23 in y"),
        (lambda: fit(X=[], y=[]), ValueError, "X has no rows"),
        (lambda: fit(X=3.0), TypeError, "takes X as a list or an array, one row for each example, got 3.0"),
        (lambda: fit(epochs=-3), ValueError, "fit takes epochs of at least 0, got -3"),
        (lambda: fit(metrics="accuracy"), TypeError, "fit takes a list of functions as metrics, .* got 'accuracy'"),
        (lambda: fit(metrics=nn.accuracy), TypeError, "fit takes a list of functions as metrics"),
        (
            lambda: fit(metrics=["accuracy"]),
            TypeError,
            "fit takes functions as metrics, such as nn.accuracy, got 'accuracy'",
        ),
        (lambda: fit(metrics=[lambda p, t: "x"]), TypeError, "fit: the metric <lambda> returns a number, got str"),
        (lambda: fit(validation_data=X), TypeError, r"fit takes the pair \(X, y\) as validation_data, got list"),
        (
            lambda: fit(validation_split="x"),
            TypeError,
            "fit takes a number from 0 to 1 as validation_split, got str 'x'",
        ),
        (lambda: fit(callbacks=nn.EarlyStopping(1)), TypeError, "fit takes a list of callbacks, got"),
        (lambda: fit(callbacks=[nn.EarlyStopping]), TypeError, "fit takes callbacks, functions of the history or"),
        (lambda: fit(loss=lambda p, t: None), TypeError, "fit: the loss returns one Value, got NoneType for row 0"),
        (lambda: fit(loss=lambda p, t: [p]), TypeError, "fit: the loss returns one Value, got list for row 0 of y"),
        (
            lambda: fit(loss=lambda p, t: 3.0),
            ValueError,
            "fit: the loss depends on none of the optimizer's parameters: give the optimizer the Values",
        ),
        (
            lambda: nn.fit(lambda x: 2.0 * x[0], X, Y, nn.mse, nn.SGD([Value(1.0)]), verbose=False),
            ValueError,
            "fit: the loss depends on none of the optimizer's parameters",
        ),
        (lambda: fit(clip_norm="x"), TypeError, "fit takes a number as clip_norm, got str 'x'"),
        (lambda: fit(batch_size=0), ValueError, "fit takes a batch_size of at least 1, or None, got 0"),
        (lambda: fit(patience=0), ValueError, "fit takes a patience of at least 1, or None, got 0"),
        (lambda: fit(clip_norm=0.0), ValueError, "fit takes a clip_norm above 0, got 0.0"),
        (lambda: fit(validation_split=1.5), ValueError, "a validation_split of 1.5 leaves no row of 24"),
        (lambda: fit(validation_split=0.01), ValueError, "a validation_split of 0.01 leaves no row of 24"),
        (lambda: fit(validation_data=([[1.0]], [])), ValueError, "fit: validation: y has no rows"),
        (
            lambda: fit(y=[*LABELS[:-1], 7], loss=nn.cross_entropy, model=nn.MLP(2, [3])),
            ValueError,
            "fit: row 23 of y: a label is a whole number from 0 to 2 for 3 scores, got 7",
        ),
        (
            lambda: fit(y=[[t, t] for t in Y]),
            ValueError,
            r"fit: row 0 of y: hinge takes .* one shape, got \(\) and \(2,\)",
        ),
        (lambda: fit(X=[[1.0]] * 24), ValueError, "Layer expects 2 inputs, got 1"),
        (lambda: nn.predict(moons_model(), [[1.0, math.nan]]), ValueError, "predict: row 0 of X has nan"),
        (lambda: nn.evaluate(moons_model(), X, Y[1:]), ValueError, "evaluate takes one target for each row"),
    ],
)
def test_bad_input_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_bad_parameters_are_named():
    model = moons_model()
    model.parameters()[3].data = math.nan
    with pytest.raises(ValueError, match="a parameter is infinite or NaN before the first step"):
        fit(model=model)
    with pytest.raises(ValueError, match="none of the optimizer's parameters is one of the model's"):
        nn.fit(moons_model(), X, Y, nn.hinge, nn.SGD(moons_model().parameters()))


def test_a_refused_input_changes_nothing():
    model = nn.MLP(2, [3], seed=0)
    before = model.state_dict()
    with pytest.raises(ValueError, match="row 23 of y"):
        fit(y=[*LABELS[:-1], 7], loss=nn.cross_entropy, model=model, batch_size=1)
    with pytest.raises(ValueError, match="Layer expects 2 inputs, got 1"):
        fit(y=LABELS, loss=nn.cross_entropy, model=model, validation_data=([[1.0]], [0]))
    assert model.state_dict() == before


def test_a_loss_that_depends_on_the_parameters_for_some_rows_only_is_trained():
    w = Value(1.0)
    nn.fit(lambda x: w * x if x > 1.5 else 0.0, [1.0, 2.0], [0.0, 0.0], nn.mse, nn.SGD([w], 0.1), jit=False, epochs=1)
    assert w.data < 1.0


# --- What cannot be compiled as it is ------------------------------------------------------------------------------


def both_ways(model, loss, optimizer, y):
    """The losses of three epochs, compiled where possible, and eagerly."""
    losses = []
    for jit in True, False:
        m = model()
        losses.append(nn.fit(m, [[0.0], [1.0]], y, loss, optimizer(m), 3, None, jit=jit, verbose=False)["loss"])
    return losses


def one_neuron():
    return nn.MLP(1, [1], seed=0)


def test_a_loss_that_compares_a_number_is_trained_eagerly():
    def loss(p, target):
        return (p - 1) ** 2 if target == 1 else (p + 1) ** 2

    with pytest.warns(
        UserWarning, match="fit trains eagerly, and slowly, as the loss cannot be compiled: .*target == 1"
    ):
        compiled, eager = both_ways(one_neuron, loss, lambda m: nn.SGD(m.parameters(), lr=0.1), [1.0, 0.0])
    assert compiled == eager


def test_a_loss_that_compares_a_parameter_is_trained_eagerly():
    class Penalised(nn.MLP):
        def __call__(self, x):
            return super().__call__(x) + sum(max(q, 0.0) for q in self.parameters())

    with pytest.warns(UserWarning, match="fit trains eagerly"):
        compiled, eager = both_ways(
            lambda: Penalised(1, [1], seed=0), nn.mse, lambda m: nn.SGD(m.parameters(), lr=0.1), [1.0, 0.0]
        )
    assert compiled == eager


def test_a_rule_that_cannot_be_compiled_still_has_a_compiled_loss():
    class Warm(nn.SGD):
        def update(self, p, g, t, *state):
            return p - (0.5 * self.lr if t == 1 else self.lr) * g, *state

    with pytest.warns(UserWarning, match="fit moves one parameter after the other, .*: .*t == 1"):
        compiled, eager = both_ways(one_neuron, nn.mse, lambda m: Warm(m.parameters(), lr=0.1), [1.0, 0.0])
    assert compiled == pytest.approx(eager, rel=1e-12)


def test_a_step_method_of_the_user_is_called():
    class Clipped(nn.SGD):
        def step(self):
            nn.clip_grad_value_(self.parameters, 0.01)
            super().step()

    compiled, eager = both_ways(one_neuron, nn.mse, lambda m: Clipped(m.parameters(), lr=0.1), [1.0, 0.0])
    assert compiled == pytest.approx(eager, rel=1e-12)


def test_invalid_settings_are_refused():
    model = moons_model()
    optimizer = nn.SGD(model.parameters())
    for setting in ({"batch_size": 1.5}, {"epochs": 1.5}, {"patience": "2"}):
        with pytest.raises(TypeError, match="fit takes an int for"):
            train(model, optimizer, **setting)
    with pytest.raises(TypeError, match=r"fit takes an optimizer, such as nn.Adam\(model.parameters\(\)\), got 'sgd'"):
        train(model, "sgd")
    with pytest.raises(TypeError, match=r"fit takes a History to continue, .* got dict"):
        train(model, optimizer, history={})
    with pytest.raises(ValueError, match="takes a schedule of its own optimizer"):
        train(model, optimizer, schedule=nn.StepLR(nn.SGD(model.parameters()), 5))


# --- Errors of one's own, and callbacks ------------------------------------------------------------------------------


def test_an_error_in_the_loss_is_raised_as_it_is():
    weights = {1.0: 2.0, -1.0: 1.0}

    def loss(p, t):  # a traced target is not in the dict
        return weights[t] * nn.hinge(p, t)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError) as caught:
            train(loss=loss)
        note = "raised while the loss was traced to be compiled: jit=False runs it on numbers"
        assert caught.value.__notes__ == [note]
        assert len(train(loss=loss, jit=False)[1]) == 6

    class Failing(nn.SGD):
        def update(self, p, g, t, *state):
            raise KeyError("an error of the rule")

    model = moons_model()
    with pytest.raises(KeyError, match="an error of the rule") as caught:
        train(model, Failing(model.parameters()))
    assert not hasattr(caught.value, "__notes__")

    calls = []

    def failing(p, t):
        calls.append(t)
        if len(calls) > len(Y):  # after the check of every row
            raise RuntimeError("no more")
        return nn.hinge(p, t)

    for jit in True, False:
        calls.clear()
        with pytest.raises(RuntimeError, match="no more"):
            train(loss=failing, jit=jit)


def test_an_error_in_a_metric_is_raised_and_not_reported_as_a_compile_error():
    def metric(p, t):
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        train(metrics=[metric])


def test_one_warning_for_a_model_that_cannot_be_compiled():
    class Branching(nn.MLP):
        def __call__(self, x):
            z = super().__call__(x)
            return z if z.data > 0 else 0.5 * z

    with pytest.warns(UserWarning, match="fit trains eagerly") as caught:
        train(Branching(2, [6, 1], seed=1), metrics=[nn.accuracy], validation_split=0.25)
    assert len(caught) == 1


class Recorder(nn.Callback):
    def __init__(self):
        self.seen = []

    def on_start(self, training):
        self.seen.append(("start", len(training.history), len(training.X), len(training.X_val)))

    def on_epoch_start(self, training, epoch):
        self.seen.append(("epoch", epoch))

    def columns(self, training):
        return {"weight": training.model.parameters()[0].data}

    def on_epoch_end(self, training):
        self.seen.append(("end", len(training.history)))
        if len(training.history) == 2:
            training.stop("enough")

    def on_finish(self, training):
        self.seen.append(("finish", training.completed))


def test_a_callback_follows_the_training():
    recorder = Recorder()
    model, history = train(callbacks=[recorder], validation_split=0.25)
    assert recorder.seen == [
        ("start", 0, 18, 6), ("epoch", 1), ("end", 1), ("epoch", 2), ("end", 2), ("finish", True)
    ]  # fmt: skip
    assert history.stopped == "enough"
    assert list(history.rows[0]) == ["epoch", "loss", "val_loss", "weight", "seconds"]
    assert history["weight"][-1] == model.parameters()[0].data


@pytest.mark.parametrize("error", [KeyboardInterrupt, nn.DivergenceError, RuntimeError])
def test_a_callback_is_called_at_the_end_of_every_training(error):
    def fail(history):
        if error is not nn.DivergenceError:
            raise error

    recorder = Recorder()
    model = nn.MLP(2, [6, 1], activation=None, seed=1)
    diverges = error is nn.DivergenceError
    optimizer = nn.SGD(model.parameters(), lr=1e200 if diverges else 0.1)
    loss = nn.mse if diverges else nn.hinge
    if error is KeyboardInterrupt:
        train(model, optimizer, loss, callbacks=[recorder, fail])
    else:
        with pytest.raises(error):
            train(model, optimizer, loss, callbacks=[recorder, fail])
    assert recorder.seen[-1] == ("finish", False)


def test_early_stopping_and_schedules_are_callbacks():
    runs = []
    for as_callbacks in True, False:
        model = moons_model()
        optimizer = nn.SGD(model.parameters(), lr=0.6)
        schedule = nn.ExponentialLR(optimizer, 0.99)
        if as_callbacks:
            settings = {"callbacks": [schedule, nn.EarlyStopping(4)]}
        else:
            settings = {"schedule": schedule, "patience": 4}
        _, history = train(model, optimizer, epochs=200, validation_split=0.3, **settings)
        runs.append((losses(history), history.stopped, model.state_dict()))
    assert runs[0] == runs[1]
    assert len(runs[0][0]) < 200


def test_invalid_callbacks_are_refused():
    with pytest.raises(TypeError, match=r"fit takes callbacks, functions of the history or nn.Callback, got 3"):
        train(callbacks=[3])
    with pytest.raises(ValueError, match="EarlyStopping takes a patience of at least 1, got 0"):
        nn.EarlyStopping(0)
    with pytest.raises(TypeError, match=r"EarlyStopping takes an int as patience, got 1\.5"):
        nn.EarlyStopping(1.5)
    with pytest.raises(TypeError, match="StepLR takes an optimizer, got float"):
        nn.StepLR(0.1, 5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: nn.StepLR(o, 0), ValueError, "StepLR takes a step_size of at least 1 epoch, got 0"),
        (lambda o: nn.StepLR(o, 2.5), TypeError, "StepLR takes an int for step_size, got 2.5"),
        (lambda o: nn.CosineAnnealingLR(o, T_max=0), ValueError, "CosineAnnealingLR takes a T_max of at least 1 epoch"),
        (lambda o: nn.LinearLR(o, total_iters=-1), ValueError, "LinearLR takes a total_iters of at least 1 epoch"),
        (lambda o: nn.ExponentialLR(o, gamma="x"), TypeError, "ExponentialLR takes a number as gamma, got 'x'"),
        (lambda o: nn.CosineAnnealingLR(o, 3, "x"), TypeError, "CosineAnnealingLR takes a number as eta_min, got 'x'"),
        (lambda o: nn.LinearLR(o, "x"), TypeError, "LinearLR takes a number as start_factor, got 'x'"),
        (lambda o: nn.huber(1.0, 2.0, delta=0.0), ValueError, "huber takes a delta above 0, got 0.0"),
    ],
)
def test_invalid_settings_of_schedules_are_named(make, error, message):
    optimizer = nn.SGD([Value(1.0)], lr=0.5)
    with pytest.raises(error, match=message):
        make(optimizer)
    assert optimizer.lr == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m, o: nn.fit(m, [1.0], [1.0], "mse", o),
            r"fit takes a loss that can be called, such as nn.mse, got 'mse'",
        ),
        (lambda m, o: nn.fit(3, [1.0], [1.0], nn.mse, o), r"fit takes a model that can be called, such as .*, got 3"),
        (lambda m, o: nn.evaluate(m, [1.0], [1.0], "mse"), "evaluate takes a loss that can be called"),
        (lambda m, o: nn.predict(None, [1.0]), "predict takes a model that can be called"),
        (lambda m, o: nn.diagnose(m, [1.0], [1.0], "mse"), "diagnose takes a loss that can be called"),
        (
            lambda m, o: nn.diagnose(m, [1.0], [1.0], nn.mse, "sgd"),
            "diagnose takes an optimizer, such as .*, got 'sgd'",
        ),
    ],
)
def test_an_object_that_cannot_be_called_is_named(call, message):
    model = nn.MLP(1, [1], seed=0)
    with pytest.raises(TypeError, match=message):
        call(model, nn.SGD(model.parameters()))


def test_the_error_about_a_pytorch_name_gives_its_counterpart_here():
    with pytest.raises(
        AttributeError, match=r"module 'nn' has no attribute 'ReLU': its place is taken by autograd_lite.relu"
    ):
        nn.ReLU  # noqa: B018
    with pytest.raises(AttributeError, match=r"'MSELoss': its place is taken by nn.mse"):
        nn.MSELoss()
    with pytest.raises(AttributeError, match=r"module 'nn' has no attribute 'Dropout'$"):
        nn.Dropout  # noqa: B018
    assert not hasattr(nn, "ReLU")


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (lambda x: [x[0], 2.0], [[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]]),
        (lambda x: [2.0, 3.0], [[2.0, 3.0]] * 3),
        (lambda x: (x[0], x[0] + 1.0), [[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]),
        (lambda x: [[x[0], 0.0], [x[0], x[0]]], [[[x, 0.0], [x, x]] for x in (1.0, 2.0, 3.0)]),
        (lambda x: {"a": x[0]}, [{"a": 1.0}, {"a": 2.0}, {"a": 3.0}]),
        (lambda x: 2.0, [2.0, 2.0, 2.0]),
    ],
)
def test_predict_gives_a_row_of_outputs_for_each_row_of_inputs(model, wanted, jit):
    assert nn.predict(model, [[1.0], [2.0], [3.0]], jit=jit) == wanted


@pytest.mark.parametrize("jit", [True, False])
def test_evaluate_compares_each_prediction_with_its_target(jit):
    def loss(p, t):
        return (p[0] - t) ** 2 + p[1]

    assert nn.evaluate(lambda x: (x, 0.0), [1.0, 2.0], [1.0, 2.0], loss, jit=jit) == {"loss": 0.0}
    assert nn.evaluate(lambda x: [x, 0.0], [1.0, 2.0], [[1.0, 0.0], [2.0, 0.0]], nn.mse, jit=jit) == {"loss": 0.0}


@pytest.mark.parametrize(
    ("factor", "X", "mean"), [(1.0, [1e308] * 3, math.inf), (10.0, [1e308, -1e308], math.nan)], ids=["inf", "nan"]
)
def test_a_mean_that_is_not_finite_is_a_number(factor, X, mean):
    def scaled(p, t):
        return factor * p

    found = nn.evaluate(lambda x: x, X, [0.0] * len(X), scaled, [scaled])
    assert found == pytest.approx({"loss": mean, "scaled": mean}, nan_ok=True)


def test_a_divergence_names_the_learning_rate_of_its_epoch():
    model = nn.MLP(1, [1], seed=0)
    optimizer = nn.SGD(model.parameters(), lr=1e-3)

    def rate(history):
        optimizer.lr = 1e200

    with pytest.raises(nn.DivergenceError, match="try a learning rate below 1e\\+200"):
        nn.fit(model, [[1.0]], [2.0], nn.mse, optimizer, epochs=5, callbacks=[rate], verbose=False)


@pytest.mark.parametrize("row", [0, 3])
@pytest.mark.parametrize("jit", [True, False])
def test_a_loss_that_is_not_finite_before_a_step_is_not_blamed_on_the_learning_rate(row, jit):
    def loss(p, t):
        return nn.mse(p, t) + log(t - row)  # nan for the first rows, -inf for this one

    with pytest.raises(nn.DivergenceError, match=r"is not finite there, .* under detect_anomaly\(\)") as caught:
        train(loss=loss, y=[float(i) for i in range(len(X))], shuffle=False, jit=jit)
    assert "learning rate" not in str(caught.value)


def test_the_warning_of_evaluate_names_the_line_of_the_call():
    with pytest.warns(UserWarning, match="evaluate calls the model row by row") as caught:
        nn.evaluate(lambda x: max(x, 0.0), [1.0, -1.0], [1.0, 0.0], nn.mse)
    assert [w.filename for w in caught] == [__file__]
