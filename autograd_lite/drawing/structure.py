"""The parts of a program that made the values of a graph: groups (neuron, layer, model, loss, scope) of kinds.

Every pass is linear in the edges of the graph and uses no recursion, so that a graph of a million values is collapsed
in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from autograd_lite.drawing.notation import Node, is_made_by
from autograd_lite.naming import Place, names_and_places, printable

LOSS = "loss"
MANY = 20_000  # with more kinds than this, the values of one group, or of one run of nodes, are one kind
RUNS = 12  # into how many runs, in topological order, the nodes outside of groups are divided then


class Range:
    """The least and the largest of the numbers added, and the sizes of the gradients."""

    __slots__ = ("count", "grad", "has_nan", "high", "low", "signed")

    def __init__(self) -> None:
        self.count, self.low, self.high, self.has_nan = 0, math.inf, -math.inf, False
        self.grad, self.signed = 0.0, 0.0  # the largest size of a gradient, and the gradient of that size

    def add(self, x: float, grad: float = 0.0) -> None:
        """Add the number `x`, with its gradient."""
        self.count += 1
        if x < self.low:
            self.low = x
        if x > self.high:
            self.high = x
        if x != x:
            self.has_nan = True
        size = abs(grad)
        if not size <= self.grad:  # a nan is larger than every number
            self.grad, self.signed = size, grad

    def include(self, other: Range) -> None:
        """Add all that was added to `other`."""
        self.count += other.count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.has_nan = self.has_nan or other.has_nan
        if not other.grad <= self.grad:
            self.grad, self.signed = other.grad, other.signed


class Group:
    """The part of a graph that a module, a scope or the loss made: kinds of values, and groups inside it."""

    __slots__ = ("children", "height", "kinds", "owner", "parent", "path", "title")

    def __init__(self, path: str, title: str, parent: Group | None, owner: Any = None) -> None:
        self.path, self.title, self.parent, self.owner = path, printable(title), parent, owner
        self.children: list[Group] = []
        self.kinds: list[Kind] = []
        self.height = 0  # 0 for a group that has no group inside it, such as a neuron
        if parent is not None:
            parent.children.append(self)

    @property
    def name(self) -> str:
        """The user's name for it: its path, or the title of the outermost module. It may contain any character."""
        return self.path or self.title

    @property
    def short(self) -> str:
        """Its path inside the group around it, fit to be printed."""
        around = self.parent.path if self.parent else ""
        inner = self.path.removeprefix(f"{around}.").removeprefix(f"{around}/") if around else self.path
        return printable(inner) or self.title

    @property
    def about(self) -> str:
        """Its title, where the path does not say it already."""
        return self.title if self.path and self.path != self.title else ""

    def ancestors(self) -> Iterator[Group]:
        """The group itself and the groups around it, the outermost last."""
        group: Group | None = self
        while group is not None:
            yield group
            group = group.parent

    def all_kinds(self) -> Iterator[Kind]:
        """Every kind in it and in the groups inside it."""
        stack: list[Group] = [self]
        while stack:
            group = stack.pop()
            yield from group.kinds
            stack += reversed(group.children)


class Kind:
    """Values that are made alike: by the same operation, from arguments that are made alike. Often one value only.

    `args` holds the kinds of the arguments that are Values by their place, `constants` the ranges of the plain numbers.
    """

    __slots__ = ("args", "constants", "group", "index", "is_own", "node", "numbers", "operations", "place", "users")

    def __init__(self, index: int, node: Node) -> None:
        self.index, self.node = index, node  # the first of the values
        self.args: dict[int, Kind] = {}
        self.constants: dict[int, Range] = {}
        self.numbers = Range()
        self.group: Group | None = None
        self.place: Place | None = None
        self.users: list[Kind] = []  # in order, with repetitions
        self.operations: dict[Any, Node] = {}  # of a coarse kind: for each operation the first value that it made
        self.is_own = False  # True: it has a box of its own whatever its users are

    @property
    def count(self) -> int:
        """How many values are of this kind."""
        return self.numbers.count

    @property
    def is_leaf(self) -> bool:
        """Whether its values are leaves."""
        return self.node.op is None

    @property
    def is_dot(self) -> bool:
        """Whether this is a dot product, which is written as one row for each product."""
        op: Any = self.node.op
        return op is not None and op.factors == 2

    @property
    def is_inlined(self) -> bool:
        """Whether this is a leaf that only dot products use: it is shown in their rows and needs no box."""
        return (
            self.is_leaf
            and not self.is_own
            and bool(self.users)
            and (self.place is not None or len(self.users) == 1)
            and all(user.is_dot for user in self.users)
        )

    @property
    def is_off(self) -> bool:
        """Whether this is a relu or the like that gives 0 everywhere, so that no gradient passes."""
        op: Any = self.node.op
        return (
            op is not None
            and bool(getattr(op, "selects", False))
            and len(self.node.args) == 1
            and self.numbers.low == self.numbers.high == 0.0
            and not self.numbers.has_nan
        )


class Structure:
    """The kinds and groups of the graph of `nodes`, which are in topological order.

    With `merge`, values that are made alike are one kind: the rows of a batch; a hundred additions of one form. With
    `coarse`, or where there are too many kinds, a kind is all that a group made, or one of RUNS runs of other nodes.
    Parameters of modules, and leaves with different names, are never merged. `own` are nodes that get a box of their
    own. With `kept`, the kinds of other nodes are left out at the end.
    """

    def __init__(
        self,
        nodes: Sequence[Any],
        roots: Sequence[Any],
        merge: bool,
        own: Iterable[Any] = (),
        kept: set[Any] | None = None,
        coarse: bool = False,
    ) -> None:
        self.nodes = nodes
        self.names, self.places = names_and_places(list(nodes))
        self.names = {node: text for node, name in self.names.items() if (text := printable(name))}
        self.kinds: list[Kind] = []
        self.kind_of: dict[Any, Kind] = {}
        self.top: list[Group] = []
        self._groups: dict[tuple[str, str], Group] = {}
        self.is_coarse = False  # True: a kind is all that one group made, or a run of other nodes
        last = LOSS if len(roots) == 1 else "outputs"
        if not merge:
            self._separate()
            self._arrange(last)
        elif not coarse and self._merge():
            self._arrange(last)
        else:
            self._coarsen(last)
        self.roots = [self.kind_of[root] for root in roots]
        for node in (*roots, *own):
            self.kind_of[node].is_own = True
        self.has_gradients = any(kind.numbers.grad for kind in self.kinds)
        if kept is not None:
            kinds = {self.kind_of[node] for node in kept}
            self.kinds = [kind for kind in self.kinds if kind in kinds]
            for group in self.groups():
                group.kinds = [kind for kind in group.kinds if kind in kinds]

    def groups(self) -> Iterable[Group]:
        """Every group, each after the one around it."""
        return self._groups.values()

    def _new(self, node: Any) -> Kind:
        kind = Kind(len(self.kinds), node)
        kind.place = self.places.get(node)
        self.kinds.append(kind)
        return kind

    def _separate(self) -> None:
        """One kind for each node."""
        kind_of = self.kind_of
        for node in self.nodes:
            kind = kind_of[node] = self._new(node)
            kind.numbers.add(node.data, node.grad)
            for i, x in enumerate(node.args):
                if type(x) is float:
                    kind.constants[i] = numbers = Range()
                    numbers.add(x)
                else:
                    kind.args[i] = kind_of[x]
                    kind_of[x].users.append(kind)

    def _merge(self) -> bool:
        """One kind for all nodes of one form: operation and kinds of the arguments. False if there are too MANY.

        A number or a leaf without a name has no form of its own: it belongs to its place in the form of its user.
        """
        kind_of, names, places = self.kind_of, self.names, self.places
        kinds: dict[Any, Kind] = {}
        anonymous: set[Any] = set()
        for node in self.nodes:
            op, args = node.op, node.args
            if op is None:
                if node not in places and node not in names:
                    anonymous.add(node)
                    continue
                form: Any = node if node in places else names[node]
            else:
                form = [-1 if type(x) is float or x not in kind_of else kind_of[x].index for x in args]
                if op.factors == 2:
                    half = len(form) // 2
                    form = dict.fromkeys(zip(form[:half], form[half:], strict=True))
                elif op.factors:
                    form = dict.fromkeys(form)
                exponent = args[1] if op.name == "pow_const" else None
                form = (op, getattr(node, "scope", ""), names.get(node), exponent, *form)
            kind = kinds.get(form)
            is_new = kind is None
            if kind is None:
                if len(kinds) >= MANY:
                    return False
                kind = kinds[form] = self._new(node)
            kind_of[node] = kind
            kind.numbers.add(node.data, node.grad)
            for i, x in enumerate(args):
                if type(x) is float:
                    if i not in kind.constants:
                        kind.constants[i] = Range()
                    kind.constants[i].add(x)
                    continue
                arg = kind_of.get(x)
                if arg is None:  # a leaf without a name
                    arg = kind.args.get(i)
                    if arg is None or not arg.is_leaf:
                        arg = self._new(x)
                    kind_of[x] = arg
                    arg.numbers.add(x.data, x.grad)
                if is_new or i not in kind.args:
                    kind.args[i] = arg
                    arg.users.append(kind)
        for node in self.nodes:
            if node in anonymous and node not in kind_of:  # a root that is a leaf
                kind_of[node] = kind = self._new(node)
                kind.numbers.add(node.data, node.grad)
        return True

    def _coarsen(self, last: str) -> None:
        """One kind for all that a group made, and for its parameters; for other nodes one for each of RUNS runs."""
        self.kinds, self.is_coarse = [], True
        kind_of: dict[Any, Kind] = {}
        self.kind_of = kind_of
        places, length = self.places, len(self.nodes) // RUNS + 1
        feeds: set[Any] = set()
        for node in reversed(self.nodes) if places else ():
            args = [x for x in node.args if type(x) is not float]
            if node in feeds or not places.keys().isdisjoint(args):
                feeds.update(args)
        kinds: dict[Any, Kind] = {}
        joined: set[tuple[Kind, Kind]] = set()  # a kind, and one that it reads
        for i, node in enumerate(self.nodes):
            scope = getattr(node, "scope", "")
            args = [x for x in node.args if type(x) is not float]
            held = [places[x] for x in args if x in places] if places else []
            if held and node.op.factors == 2:
                weights = node.args[: len(node.args) // 2]
                held = [places[x] for x in weights if type(x) is not float and x in places] or held
            if node in places:
                group = self._group(scope, places[node])
            elif held:
                group = self._group(scope, held[0])
                for place in held[1:]:
                    group = _common(group, self._group(scope, place)) if place.parts != held[0].parts else group
            else:
                found = [kind_of[x].group for x in args if x.op is not None]
                group = found[0] if found else None
                for other in found[1:]:
                    group = group if other is group else _common(group, other)
                if places and any(found) and node not in feeds:
                    group = self._named(last, "", None)
                if scope and not (group and any(g.path.split("/")[0] == scope for g in group.ancestors())):
                    group = self._scope(scope)
            key = (group or i // length, node in places)
            kind = kinds.get(key)
            if kind is None:
                kind = kinds[key] = self._new(node)
                kind.group, kind.place = group, places.get(node)
                if group:
                    group.kinds.append(kind)
            kind_of[node] = kind
            kind.numbers.add(node.data, node.grad)
            kind.operations.setdefault(node.op, node)
            for x in args:
                arg = kind_of[x]
                if arg is not kind and (kind, arg) not in joined:
                    joined.add((kind, arg))
                    kind.args[len(kind.args)] = arg
                    arg.users.append(kind)
        self._measure()

    def _arrange(self, last: str) -> None:
        """Give every kind its group: what follows the modules is in the group `last`."""
        order = self._order()
        feeds: set[Kind] = set()  # the kinds on the way to an operation on parameters
        for kind in reversed(order):
            direct = any(arg.place for arg in kind.args.values())
            if direct or kind in feeds:
                feeds.update(kind.args.values())
        for kind in order:
            if kind.is_leaf:
                continue
            scope = getattr(kind.node, "scope", "")
            places = [
                arg.place
                for i, arg in kind.args.items()
                if arg.place and (not kind.is_dot or i < len(kind.node.args) / 2)
            ]
            places = places or [arg.place for arg in kind.args.values() if arg.place]
            if places:
                group = self._group(scope, places[0])
                for place in places[1:]:
                    group = _common(group, self._group(scope, place)) if group else None
                if is_made_by(kind.node, {"add", "sub"}):  # an embedding that is added to what another module made
                    for arg in kind.args.values():
                        group = _common(group, arg.group) if arg.group and not arg.is_leaf else group
            else:
                found = [arg.group for arg in kind.args.values() if not arg.is_leaf]
                group = found[0] if found else None
                for other in found[1:]:
                    group = _common(group, other)
                if kind not in feeds and any(found) and not _is_activation(kind, group):
                    group = self._named(last, "", None)
                if scope and not (group and any(g.path.split("/")[0] == scope for g in group.ancestors())):
                    group = self._scope(scope)
            kind.group = group
        for kind in order:
            if kind.is_leaf:
                if kind.place:
                    kind.group = self._group("", kind.place) if not kind.users else _shared(kind.users)
                elif kind.users and kind.node not in self.names:
                    kind.group = _shared(kind.users)
            if kind.group:
                kind.group.kinds.append(kind)
        self._measure()

    def _measure(self) -> None:
        """Give every group its height."""
        for found_group in reversed([*self._groups.values()]):
            for child in found_group.children:
                found_group.height = max(found_group.height, child.height + 1)

    def _order(self) -> list[Kind]:
        """The kinds, each after its arguments."""
        late = {arg for kind in self.kinds for arg in kind.args.values() if arg.index > kind.index}
        if not late:
            return self.kinds
        first = [kind for kind in self.kinds if kind.is_leaf]
        return first + [kind for kind in self.kinds if not kind.is_leaf]

    def _group(self, scope: str, place: Place) -> Group | None:
        group = self._scope(scope) if scope else None
        for part in place.parts:
            path = f"{scope}/{part.path or part.title}" if scope else part.path
            group = self._named(path, part.title, group, part.owner)
        return group

    def _scope(self, scope: str) -> Group:
        group, path = None, ""
        for name in scope.split("."):
            path = f"{path}.{name}" if path else name
            group = self._named(path, "scope", group)
        assert group is not None
        return group

    def _named(self, path: str, title: str, parent: Group | None, owner: Any = None) -> Group:
        key = (path, title)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(path, title, parent, owner)
            if parent is None:
                self.top.append(group)
        return group


def _common(x: Group | None, y: Group | None) -> Group | None:
    """The innermost group that has both inside it; None if there is none."""
    if x is y or x is None or y is None:
        return x if x is y else None
    around = set(x.ancestors())
    return next((group for group in y.ancestors() if group in around), None)


def _shared(users: list[Kind]) -> Group | None:
    group = users[0].group
    for user in users:
        group = _common(group, user.group)
    return group


def _is_activation(kind: Kind, group: Group | None) -> bool:
    """Whether this is the activation that the module around its argument declares: the end of the module's own work."""
    op = kind.node.op
    return group is not None and op is not None and getattr(group.owner, "activation", None) is op
