"""Names for values: the path of a parameter in its module, `x0` for an input. Imports nothing else of the package.

Owners (modules) register themselves when they are made, by a weak reference. Nothing else happens until a picture, a
text or an error asks for names: then the attributes of the living owners are searched for the values in question.
"""

from __future__ import annotations

import dis
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

_owners: WeakValueDictionary[int, Any] = WeakValueDictionary()  # in the order in which they were made
_titles: WeakValueDictionary[str, Any] = WeakValueDictionary()  # the owners that `name_values` named
_serial = count()
_HIDDEN = {"In", "Out"}  # the inputs and outputs that IPython keeps


class Part(NamedTuple):
    """An owner on the way to a value: its path, "" for the outermost, what a picture calls it, and the owner itself."""

    path: str
    title: str
    owner: Any


class Place(NamedTuple):
    """Where a value is held: its whole path, and the owners around it, the outermost first."""

    path: str
    parts: tuple[Part, ...]


def register_owner(owner: object) -> None:
    """Let pictures, texts and errors name the leaves in the attributes of `owner`, its parameters, by their path.

    `nn.Module` calls this for every module that is made. `owner` is held by a weak reference. Its attributes are read
    when a name is asked for, so Values that are assigned later have names too. A TypeError if it has no `__dict__` or
    takes no weak reference.

    >>> from autograd_lite import Value
    >>> class Spring:
    ...     def __init__(self, stiffness):
    ...         self.stiffness = Value(stiffness)
    ...         register_owner(self)
    >>> spring = Spring(2.0)
    >>> names_of([spring.stiffness])[spring.stiffness]
    'stiffness'
    """
    if not hasattr(owner, "__dict__"):
        raise TypeError(f"register_owner takes an object with a __dict__, got {type(owner).__name__}")
    _owners[next(_serial)] = owner


def name_values(namespace: Mapping[str, Any] | None = None, /, **values: Any) -> None:
    """Name the Values in `namespace` and `values` by their keys: `name_values(locals())`, `name_values(a=a)`.

    A Value that has no label gets one; the Values in a list `x` become `x0`, `x1`, ..., those in a dict `d` become
    `d.key`. A registered owner, such as a module, gets a title, which its parameters carry where a picture shows
    several. Names that begin with an underscore are skipped, and IPython's `In` and `Out`. A TypeError if `namespace`
    is not a mapping.

    >>> from autograd_lite import Value
    >>> a, x = Value(2.0), [Value(3.0), Value(4.0)]
    >>> name_values(locals())
    >>> print(a.label, x[0].label, x[1].label)
    a x0 x1
    """
    if namespace is not None and not isinstance(namespace, Mapping):
        raise TypeError(f"name_values takes a dict of names, such as locals(), got {type(namespace).__name__}")
    known = {id(owner) for owner in _owners.values()}
    for name, thing in {**(namespace or {}), **values}.items():
        if name.startswith("_") or name in _HIDDEN:
            continue
        if id(thing) in known:
            if all(owner is not thing for owner in _titles.values()):
                _titles[name] = thing
        elif _is_node(thing):
            thing.label = thing.label or name
        else:
            for path, value in _items(thing, name, set()):
                if _is_node(value):
                    value.label = value.label or path


def names_of(nodes: Iterable[Any]) -> dict[Any, str]:
    """A dict of the names of `nodes`, Values of one graph: the label of each, else its path as a parameter, if any.

    A leaf without a label that is multiplied by the i-th weight of a neuron is an input, named `x0`, `x1`, ...

    >>> from autograd_lite import Value
    >>> a, b = Value(1.0, label="a"), Value(2.0)
    >>> [*names_of([a, b]).values()]
    ['a']
    """
    if _is_node(nodes):
        raise TypeError("names_of takes a list of Values, got one Value: write names_of([x])")
    nodes = list(nodes)
    return _names(nodes, places_of(nodes))


def _names(nodes: list[Any], places: dict[Any, Place]) -> dict[Any, str]:
    names = {}
    for node in nodes:
        if node.label:
            names[node] = node.label
        elif node in places:
            names[node] = places[node].path
    for node in nodes:
        if node.op is not None and node.op.factors == 2:
            args, half = node.args, len(node.args) // 2
            for i in range(half):
                w, x = args[i], args[half + i]
                if type(x) is not float and x.op is None and x not in names and w in places:
                    names[x] = f"x{i}"
    return names


def names_and_places(nodes: list[Any]) -> tuple[dict[Any, str], dict[Any, Place]]:
    """`names_of` and `places_of` with one search."""
    places = places_of(nodes)
    return _names(nodes, places), places


def places_of(nodes: Iterable[Any]) -> dict[Any, Place]:
    """The place of each leaf among `nodes` that a living owner holds.

    A module inside another is known by the path from the outermost one. Where parameters of several outermost modules
    are among `nodes`, every path begins with the title of its module: the name that `name_values` gave it, else its
    class.
    """
    wanted = {id(node): node for node in nodes if node.op is None}
    alive = list(_owners.values())  # strong references: no id below can be used twice meanwhile
    if not wanted or not alive:
        return {}
    kinds = {id(owner): type(owner).__name__ for owner in alive}
    inside = {
        id(part)
        for owner in alive
        for _, part in _items(vars(owner), "", set())
        if id(part) in kinds and part is not owner
    }
    outermost = [owner for owner in alive if id(owner) not in inside]
    seen: set[int] = set()
    found: dict[Any, tuple[int, Place]] = {}
    for owner in (
        *outermost,
        *alive,
    ):  # of owners that hold each other in a ring, the one made first counts as outermost
        if id(owner) not in seen:
            for thing, place in _search(owner, kinds, seen):
                node = wanted.get(id(thing))
                if node is not None and node not in found:
                    found[node] = id(owner), place
    roots = list(dict.fromkeys(root for root, _ in found.values()))
    titles = _distinct(roots, kinds)
    several = len(roots) > 1
    return {node: _titled(place, titles[x], titles[x] if several else "") for node, (x, place) in found.items()}


def printable(text: str, longest: int = 40) -> str:
    """`text` in one line of at most `longest` characters, with a replacement character for what cannot be printed.

    A longer one loses its middle: the end of a path says which parameter it is.
    """
    text = str(text)
    if len(text) > 200 * longest:
        text = text[: 100 * longest] + text[-100 * longest :]
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    return text if len(text) <= longest else f"{text[: longest // 2 - 1]}…{text[longest // 2 - longest :]}"


def short_name(path: str, around: str = "") -> str:
    """`path` without the prefix `around`, an index joined to its name: `w3` for `layers.0.w.3` inside `layers.0`."""
    inner = path[len(around) + 1 :] if around and path.startswith(around + ".") else path
    return re.sub(r"^([A-Za-z_]+)\.(\d+)$", r"\1\2", inner)


def _distinct(roots: list[int], kinds: dict[int, str]) -> dict[int, str]:
    """A title for each of the outermost owners, by id: no two are the same."""
    given = {id(owner): name for name, owner in _titles.items()}
    names = {root: given.get(root, kinds[root]) for root in roots}
    several = Counter(names.values())
    serial: Counter[str] = Counter()
    for root, name in names.items():
        if several[name] > 1:
            serial[name] += 1
            names[root] = f"{name}#{serial[name]}"
    return names


def _titled(place: Place, title: str, prefix: str) -> Place:
    outer, *inner = place.parts
    parts = (Part(prefix, title, outer.owner), *[part._replace(path=_join(prefix, part.path)) for part in inner])
    return Place(_join(prefix, place.path), parts)


def _join(prefix: str, path: str) -> str:
    return f"{prefix}.{path}" if prefix and path else prefix or path


def _search(owner: Any, kinds: dict[int, str], seen: set[int]) -> Iterator[tuple[Any, Place]]:
    """Everything in the attributes of `owner` and of the owners inside it, in order, with its place."""
    stack: list[tuple[Any, str, tuple[Part, ...]]] = [(owner, "", ())]
    while stack:
        thing, path, parts = stack.pop()
        if id(thing) in kinds:
            if id(thing) in seen:
                continue
            parts = (*parts, Part(path, kinds[id(thing)], thing))
            inner: Iterable[tuple[Any, Any]] = vars(thing).items()
        elif isinstance(thing, dict):
            inner = thing.items()
        elif isinstance(thing, (list, tuple)):
            inner = enumerate(thing)
        else:
            yield thing, Place(path, parts)
            continue
        if id(thing) not in seen:
            seen.add(id(thing))
            stack += [(x, _join(path, str(key)), parts) for key, x in reversed([*inner]) if type(x) is not float]


def _items(thing: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The items of `thing`, at any depth of lists, tuples and dicts, with their names: `x0` in a list `x`, `d.key`."""
    stack = [(name, thing)]
    while stack:
        name, thing = stack.pop()
        if isinstance(thing, (list, tuple, dict)):
            if id(thing) not in seen:
                seen.add(id(thing))
                pairs: Any = thing.items() if isinstance(thing, dict) else enumerate(thing)
                between = "." if isinstance(thing, dict) or name[-1:].isdigit() else ""
                stack += [(f"{name}{between}{key}", x) for key, x in reversed([*pairs])]
        else:
            yield name, thing


def _is_node(thing: Any) -> bool:
    return hasattr(thing, "op") and hasattr(thing, "args") and hasattr(thing, "label")


# ---- names in a function


def parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of the first `count` positional parameters of `f`; `x0`, `x1`, ... for those that `f` does not name.

    >>> parameter_names(lambda state, torque: state, 3)
    ['state', 'torque', 'x2']
    """
    try:
        kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [x.name for x in inspect.signature(f).parameters.values() if x.kind in kinds]
    except (TypeError, ValueError):
        names = []
    return (names + [f"x{n}" for n in range(len(names), count)])[:count]


def unpacked_names(f: Callable[..., Any], parameter: str) -> dict[str, str]:
    """The variables into which `f` unpacks its parameter `parameter`, by their index as text; {} if it does not.

    >>> def step(state, torque):
    ...     angle, speed = state
    ...     return angle + speed
    >>> unpacked_names(step, "state")
    {'[0]': 'angle', '[1]': 'speed'}
    """
    code = getattr(f, "__code__", None)
    if code is None:
        return {}
    steps = list(dis.get_instructions(code))
    for n, load in enumerate(steps[:-1]):
        if (
            load.argval == parameter
            and load.opname.startswith("LOAD_FAST")
            and steps[n + 1].opname == "UNPACK_SEQUENCE"
        ):
            count = steps[n + 1].arg or 0
            found: list[str] = []
            for store in steps[n + 2 :]:
                if not store.opname.startswith("STORE_FAST") or len(found) >= count:
                    break
                found += [store.argval] if isinstance(store.argval, str) else list(store.argval)
            return {f"[{k}]": name for k, name in enumerate(found[:count])} if len(found) >= count else {}
    return {}
