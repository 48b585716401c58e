"""The C sources on other platforms: they compile there without a warning, and the kernel gives the same numbers.

Each test is skipped where its compiler or emulator is missing. On Debian they are in the packages
gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, gcc-mingw-w64-x86-64, clang and qemu-user.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import shutil
import subprocess
import sys
import sysconfig
from array import array
from pathlib import Path

import pytest

from autograd_lite import primitives as p
from autograd_lite.compiler.program import Instruction, Program, Strided

pytest.importorskip("autograd_lite.compiler._kernel")

from test_compiler_native import TABLE, example, expect_exactly, expect_same, interpret, points, row_program, wanted

from autograd_lite.compiler.executors import kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cross compiles from Linux")
ROOT = Path(__file__).parents[1]
SOURCES = sorted(ROOT.glob("autograd_lite/**/*.c"))
STRICT = ["-std=c11", "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
HEADERS = ["-isystem", sysconfig.get_path("include")]
ARM = ["-isystem", "/usr/aarch64-linux-gnu/include"]
COMPILERS = {  # full compilation takes seconds: only where the vector instructions differ from those of this machine
    "ARM, gcc": ["aarch64-linux-gnu-gcc", "-c"],
    "ARM, clang": ["clang", "--target=aarch64-linux-gnu", *ARM, "-c"],
    "Windows, gcc": ["x86_64-w64-mingw32-gcc", "-fsyntax-only"],
    "x86, clang": ["clang", "-fsyntax-only"],
}

# The definitions that Python's headers need from the pyconfig.h of 64-bit Windows, which differs from that of Linux.
PYCONFIG_OF_WINDOWS = """
#ifndef Py_PYCONFIG_H
#define Py_PYCONFIG_H
#define MS_WIN32
#define MS_WIN64
#define MS_WINDOWS
#define NT_THREADS
#define WITH_THREAD
#define HAVE_DECLSPEC_DLL
#define HAVE_ERRNO_H 1
#define HAVE_STDDEF_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_WCHAR_H 1
#define SIZEOF_DOUBLE 8
#define SIZEOF_FLOAT 4
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_OFF_T 4
#define SIZEOF_PID_T 4
#define SIZEOF_SHORT 2
#define SIZEOF_SIZE_T 8
#define SIZEOF_TIME_T 8
#define SIZEOF_VOID_P 8
#define SIZEOF_WCHAR_T 2
#endif
"""


def find(program: str) -> None:
    """Skip the test if `program` is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def run(command: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return done


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@pytest.mark.parametrize("name", COMPILERS)
def test_sources_compile_without_a_warning(name: str, source: Path, tmp_path: Path) -> None:
    compiler, *options = COMPILERS[name]
    find(compiler)
    if ARM[1] in options and not Path(ARM[1]).exists():
        pytest.skip(f"{ARM[1]} is not installed")
    if name.startswith("Windows"):
        (tmp_path / "pyconfig.h").write_text(PYCONFIG_OF_WINDOWS)
        options = ["-include", str(tmp_path / "pyconfig.h"), *options]
    run([compiler, *STRICT, *options, *HEADERS, str(source), "-o", str(tmp_path / "object")])


# --- The same numbers -----------------------------------------------------------------------------------------------

# Each way to build the driver, and to run it: on ARM, and as a compiler without the extensions of GNU C builds it.
DRIVERS = {
    "ARM": (["aarch64-linux-gnu-gcc", "-static", "-Wl,--unresolved-symbols=ignore-all"], ["qemu-aarch64"]),
    "plain C": (["gcc", "-DKERNEL_PLAIN", "-no-pie", "-Wl,--unresolved-symbols=ignore-all"], []),
}


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs kernel_driver.c, compiled for a platform."""
    build, emulator = DRIVERS[request.param]
    for program in build[:1] + emulator:
        find(program)
    built = str(tmp_path_factory.mktemp("driver") / "driver")
    options = ["-O1", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
    source = str(ROOT / "tests" / "kernel_driver.c")
    run([*build, *STRICT, *options, *HEADERS, source, "-o", built, "-lm", "-lpthread"])
    return [*emulator, built]


def drive(
    driver: list[str], program: Program, n: int, rows: array[float], captured: array[float], smaller: int = 0
) -> tuple[array[float], array[float]]:
    """The results and sums of a program on another platform, without the `smaller` largest kinds of block there."""
    encoded = kernel.encode(program)
    lengths, call = array("i", map(len, encoded)), array("i", [smaller, n])
    given = b"".join([bytes(x) for x in (lengths, *encoded, call, rows, captured)])
    numbers = array("d", run(driver, given).stdout)
    at = n * len(program.results)
    return numbers[:at], numbers[at:]


def test_the_table_agrees_on_other_platforms(driver: list[str]) -> None:
    for op in TABLE:
        xs = points(op)
        operands = tuple([Strided(1 + a) for a in range(op.arity)])
        program = row_program([Instruction(op, 0, (1, 1, 1), operands)], op.arity)
        found, _ = drive(driver, program, len(xs), array("d", itertools.chain(*xs)), array("d"))
        expect_same(found, wanted(op), lambda n, op=op, xs=xs: f"{op}{xs[n]}")  # type: ignore[misc]


@pytest.mark.parametrize("smaller", [0, 1])
@pytest.mark.parametrize("n", [1, 3, 4, 9])
def test_programs_agree_on_other_platforms(driver: list[str], n: int, smaller: int) -> None:
    """A program of every form, and matrix products in each order, on small integers: every bit is compared."""
    rng = random.Random(n)
    x, y = Strided(1, outer=5, depth=1), Strided(36, inner=5, depth=1)
    products = [
        row_program([Instruction(p.dot, 0, (7, I, 5), (Strided(0), x, y))], 35 + 5 * 9, total=total)
        for I, total in itertools.product((1, 2, 9), (False, True))  # noqa: E741
    ]
    whole = example()
    exact = dataclasses.replace(whole, once=(whole.once[0]._replace(op=p.neg),))
    for program in [*products, exact]:
        rows = array("d", [float(rng.randint(-9, 9)) for _ in range(n * program.inputs)])
        captured = array("d", [float(rng.randint(-9, 9)) for _ in range(program.captured)])
        results, sums = drive(driver, program, n, rows, captured, smaller)
        wanted_results, wanted_sums = interpret(program, n, rows, captured)
        expect_exactly(results, wanted_results)
        expect_exactly(sums, wanted_sums)
