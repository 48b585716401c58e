"""The C core `_core`, if it was built: the same engine in C. Set AUTOGRAD_LITE_PURE=1 to do without it.

The Python engine defines what every operation does. Modules of the engine put the core's objects in the place of their
own (`adopt`). `matvec`, `simplify` and `schedule` call a function of the core that does their work in less time; other
code does not know which engine it has.
"""

import os
from contextlib import suppress
from importlib import import_module
from typing import Any

core: Any = None
if os.environ.get("AUTOGRAD_LITE_PURE", "0") in ("", "0"):
    with suppress(ImportError):
        built: Any = import_module("autograd_lite._core")
        built.claim()  # an ImportError in a second interpreter of this process: the C engine serves one
        core = built


def adopt(module: dict[str, Any], *names: str) -> None:
    """Put the core's objects of these names into the namespace `module`, in the place of Python's.

    The core's class gets every method of Python's class that it does not have itself.
    """
    for name in names:
        python, fast = module[name], getattr(core, name)
        if isinstance(python, type):
            own = vars(fast)
            for attribute, x in vars(python).items():
                if attribute == "__doc__" or (attribute not in own and attribute not in _OF_PYTHON_CLASSES):
                    setattr(fast, attribute, x)
        module[name] = fast


_OF_PYTHON_CLASSES = {"__dict__", "__weakref__", "__slots__", "__module__", "__static_attributes__", "__firstlineno__"}
