"""Fixtures. Each test sees the primitives of the package and of its own module, not those of other test modules."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autograd_lite.primitives import PRIMITIVES

os.environ["JAX_ENABLE_X64"] = "1"  # JAX reads it when a test imports it: the oracle computes in float64

ROOT = Path(__file__).parents[1]
TABLE = dict(PRIMITIVES)


@pytest.fixture(autouse=True)
def _the_table_as_it_is(request: pytest.FixtureRequest) -> Iterator[None]:
    everything = dict(PRIMITIVES)
    own = {name: op for name, op in everything.items() if op.compute.__module__ == request.module.__name__}
    PRIMITIVES.clear()
    PRIMITIVES.update(own | TABLE)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(everything)


@pytest.fixture(scope="module")  # while it runs, asyncio cannot be used in this thread
def browser() -> Iterator[Any]:
    """A running Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser here: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    options = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync"
    ).split()
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=options)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens a file in the browser. An error or a message of its script, or another request, fails."""
    wrong: list[str] = []
    contexts: list[Any] = []

    def opened(file: Path, **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda request: None if request.url == file.as_uri() else wrong.append(request.url))
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def lines_run() -> Callable[[Callable[[], object]], int]:
    """How many lines of Python a call runs: its work, whatever the load of the machine. Work in C is not counted."""

    def count(run: Callable[[], object]) -> int:
        lines, before = 0, sys.gettrace()

        def trace(_frame: Any, event: str, _arg: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            return trace

        sys.settrace(trace)
        try:
            run()
        finally:
            sys.settrace(before)
        return lines

    return count


@pytest.fixture
def run_under_sanitizers(tmp_path: Path) -> Callable[..., None]:
    """A function that builds a C extension so that it stops at a wrong access or undefined behaviour, and tests it.

    It takes the source, the options of its build, the environment variable that gets the path of the extension, and the
    command that runs the tests, as a function of that path. An assertion fails with everything that was printed.
    """

    def run(source: Path, options: list[str], variable: str, command: Callable[[str], list[str]]) -> None:
        gcc = shutil.which("gcc")
        libraries = [] if gcc is None else [_gcc_finds(gcc, "libasan.so"), _gcc_finds(gcc, "libubsan.so")]
        if gcc is None or not all(libraries):
            pytest.skip("no gcc with the sanitizers' libraries")
        built = str(tmp_path / f"{source.stem}.so")
        build = [
            *[gcc, "-shared", "-fPIC", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"],
            *["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
            *["-I" + sysconfig.get_path("include"), "-o", built, str(source), *options],
        ]
        environment = os.environ | {
            variable: built,
            "LD_PRELOAD": " ".join(libraries),
            "ASAN_OPTIONS": f"detect_leaks=0:log_path={tmp_path / 'found'}",  # leaks would be Python's own
            "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={tmp_path / 'found'}",
            "PYTHONMALLOC": "malloc",
        }
        for args, env in (build, os.environ), (command(built), environment):
            done = subprocess.run(args, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
            found = "".join([path.read_text() for path in tmp_path.glob("found*")])
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:] + found

    return run


def _gcc_finds(gcc: str, library: str) -> str:
    """The path of a library of the compiler; an empty string if it has none."""
    command = [gcc, f"-print-file-name={library}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return path if os.path.isabs(path) else ""
