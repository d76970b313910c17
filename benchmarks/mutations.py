"""Which small faults can be planted in a file, and the file with one of them.

Comparisons, conditions, arithmetic and loops are changed by cosmic-ray's operators. Of our own:
numbers (one more or less only where they are small; a time-out of 121 s is no fault), words,
dropped calls, exceptions that aren't caught, and returned values that keep the function's type.

Left out is what no user sees: docstrings, annotations, decorators, what is logged, the wording of
errors and help texts, `if TYPE_CHECKING` and `if __name__ == "__main__"`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider
from parso.grammar import load_grammar

# What is still an operation on the same kinds of values: any test notices a text shifted by a text.
OTHER_SIGNS = (
    *(("Add", "Sub"), ("Sub", "Add"), ("Mul", "Div"), ("Div", "Mul"), ("FloorDiv", "Mul")),
    *(("Mod", "FloorDiv"), ("Pow", "Mul"), ("RShift", "LShift"), ("LShift", "RShift")),
    *(("BitOr", "BitAnd"), ("BitAnd", "BitOr"), ("BitXor", "BitOr")),
)
# Names of cosmic-ray's operators, up to the part that tells what becomes of what.
KINDS = {
    "ReplaceComparisonOperator": "comparison",
    "AddNot": "condition",
    "ReplaceAndWithOr": "condition",
    "ReplaceOrWithAnd": "condition",
    "ReplaceUnaryOperator": "condition",
    "ReplaceTrueWithFalse": "constant",
    "ReplaceFalseWithTrue": "constant",
    **{f"ReplaceBinaryOperator_{one}_{other}": "arithmetic" for one, other in OTHER_SIGNS},
    "ReplaceBreakWithContinue": "flow",
    "ReplaceContinueWithBreak": "flow",
    "ZeroIterationForLoop": "flow",
}
ONE_OR_THE_OTHER = (
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
)
SMALL = 10
# Said to people, or to the type checker.
WORDING = {"help", "description", "epilog", "metavar", "exc_info", "strict"}
EMPTY = {
    "str": '""',
    "list": "[]",
    "Sequence": "()",
    "tuple": "()",
    "dict": "{}",
    "Mapping": "{}",
    "set": "set()",
    "frozenset": "frozenset()",
}


class ChangeNumber(Operator):
    """A small number is one more or less, a large one twice or half as much."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "number":
            yield from [(node.start_pos, node.end_pos)] * 2

    def mutate(self, node: Any, index: int) -> Any:
        value = ast.literal_eval(node.value)
        changed: tuple[float, float]
        if isinstance(value, int) and abs(value) < SMALL:
            changed = (value + 1, value - 1)
        elif isinstance(value, int):
            changed = (value * 2, value // 2)
        else:
            changed = (value * 2 or 1.0, value / 2 or -1.0)
        node.value = repr(changed[index])
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class ChangeWord(Operator):
    """A text without blanks, such as a key, a name or a value, is another one."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type != "string" or node.string_prefix.strip("rR"):
            return
        if not any(letter.isspace() for letter in ast.literal_eval(node.value)):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _: int) -> Any:
        node.value = repr("XX" + ast.literal_eval(node.value))
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class DropCall(Operator):
    """A call whose result nobody takes is not made."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and _is_call(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, _: int) -> Any:
        node.children[0] = _parse(_with_prefix_of(node.children[0], "pass"))
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class CatchNothing(Operator):
    """An exception isn't caught; of several, one."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "except_clause":
            for caught in self._caught(node):
                yield caught.start_pos, caught.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        caught = self._caught(node)
        other = _code(caught[index - 1]) if len(caught) > 1 else "()"
        siblings = caught[index].parent.children
        place = siblings.index(caught[index])
        siblings[place] = _parse(_with_prefix_of(caught[index], other))
        return node

    @staticmethod
    def _caught(node: Any) -> list[Any]:
        caught = node.children[1]
        if caught.type == "atom" and caught.children[1].type == "testlist_comp":
            return list(caught.children[1].children[::2])
        return [caught]

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class ReturnAnother(Operator):
    """What is returned has the same type and another value; None where that can't be told."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "return_stmt" and self._other(node) not in (None, _code(node.children[1])):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, _: int) -> Any:
        value = node.children[1]
        node.children[1] = _parse(_with_prefix_of(value, str(self._other(node))))
        return node

    @staticmethod
    def _other(node: Any) -> str | None:
        function: Any = node.search_ancestor("funcdef")
        if function is None or function.annotation is None:
            return None
        kind, value = _code(function.annotation).split("[")[0], _code(node.children[1])
        if kind == "bool":
            return f"not ({value})"
        if kind in ("int", "float"):
            return f"({value}) + 1"
        return EMPTY.get(kind, "None")

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One fault: where it is, the lines before and after, and the whole file with it."""

    file: str
    line: int
    function: str
    kind: str
    before: str
    after: str
    text: str

    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when the lines above it change."""
        return self.file, self.function, self.before.strip(), self.after.strip()


@dataclass(frozen=True)
class Place:
    """A position that an operator (or several of a kind) can change, in one or more ways."""

    file: str
    kind: str
    ways: tuple[tuple[Any, int, int], ...]


def find_places(file: str, source: str) -> list[Place]:
    """In the order of the text; each way is an operator, the node's number and the way's."""
    ways: dict[tuple[Any, str], list[tuple[Any, int, int]]] = defaultdict(list)
    nodes = _nodes(_parse(source))
    numbers = {id(node): number for number, node in enumerate(nodes)}
    seen = [node for node in nodes if _is_seen(node)]
    for operator, kind in _operators():
        for node in seen:
            if _orders_what_has_no_order(operator, node):
                continue
            for way, position in enumerate(operator.mutation_positions(node)):
                ways[position, kind].append((operator, numbers[id(node)], way))
    return [Place(file, kind, tuple(found)) for (_, kind), found in sorted(ways.items(), key=_text)]


def _orders_what_has_no_order(operator: Operator, node: Any) -> bool:
    """`kind <= "text"` for `kind == "text"`, which is the same for some values by chance."""
    name = type(operator).__name__
    from_equal = name.startswith(("ReplaceComparisonOperator_Eq", "ReplaceComparisonOperator_Not"))
    return (
        from_equal
        and not name.endswith(("_Eq", "_NotEq"))
        and node.type == "comparison"
        and all(child.type != "number" for child in node.children)
    )


def _text(item: tuple[Any, Any]) -> tuple[Any, str]:
    (position, kind), _ = item
    return position, kind


def plant(place: Place, source: str, random: Random) -> Mutation | None:
    """One of the ways to change the place; None where all leave the program what it was."""
    for operator, number, way in random.sample(place.ways, len(place.ways)):
        tree = _parse(source)
        node = _nodes(tree)[number]
        function = ".".join(_names_around(node)) or "(module)"
        line = list(operator.mutation_positions(node))[way][0][0]
        changed = operator.mutate(node, way)
        if changed is not node:
            siblings = node.parent.children
            siblings[siblings.index(node)] = changed
        text = tree.get_code()
        if _is_another_program(source, text):
            before, after = _different_lines(source, text)
            return Mutation(
                file=place.file,
                line=line,
                function=function,
                kind=place.kind,
                before=before,
                after=after,
                text=text,
            )
    return None


def _parse(code: str) -> Any:
    return load_grammar().parse(code)


def _nodes(tree: Any) -> list[Any]:
    """From the outermost in, in the order of the text."""
    return [tree, *(node for child in getattr(tree, "children", ()) for node in _nodes(child))]


def _operators() -> Iterator[tuple[Any, str]]:
    provider = OperatorProvider()
    for name in provider:
        kind = KINDS.get(name) or KINDS.get(name.split("_")[0])
        # What is equal is mostly also the same, and where it isn't, no test can rely on it.
        if (kind and not name.endswith(("_Is", "_IsNot"))) or name in ONE_OR_THE_OTHER:
            yield provider[name](), str(kind)
    yield ChangeNumber(), "constant"
    yield ChangeWord(), "constant"
    yield CatchNothing(), "exception"
    yield DropCall(), "dropped call"
    yield ReturnAnother(), "returned value"


def _is_seen(node: Any) -> bool:
    child, parent = node, node.parent
    if _is_call(node) and _code(node).startswith(("logger.", "logging.")):
        return False
    if node.type == "simple_stmt" and _code(node).startswith(("logger.", "logging.")):
        return False
    while parent is not None:
        if _is_unseen_child(child, parent):
            return False
        child, parent = parent, parent.parent
    return True


def _is_unseen_child(child: Any, parent: Any) -> bool:
    first = parent.children[0]
    if child.type in ("raise_stmt", "decorator", "decorators", "import_from", "import_name"):
        return True
    if parent.type == "if_stmt" and _code(parent.children[1]).startswith(
        ("TYPE_CHECKING", "__name__")
    ):
        return True
    if parent.type == "annassign":
        return child is parent.children[1]
    if parent.type == "tfpdef":
        return child is not first
    if parent.type == "funcdef":
        return child is parent.annotation
    if parent.type == "simple_stmt" and child.type == "string":
        return True
    if parent.type == "argument" and first.type == "name" and first.value in WORDING:
        return True
    return bool(_is_call(parent) and _code(parent).startswith(("logger.", "logging.")))


def _is_call(node: Any) -> bool:
    return node.type in ("atom_expr", "power") and _code(node.children[-1]).startswith("(")


def _names_around(node: Any) -> list[str]:
    names: list[str] = []
    while node is not None:
        if node.type in ("funcdef", "classdef"):
            names.insert(0, node.name.value)
        node = node.parent
    return names


def _code(node: Any) -> str:
    return str(node.get_code(include_prefix=False))


def _with_prefix_of(node: Any, code: str) -> str:
    return str(node.get_first_leaf().prefix) + code


def _is_another_program(source: str, text: str) -> bool:
    try:
        return ast.dump(ast.parse(source)) != ast.dump(ast.parse(text))
    except SyntaxError:
        return False


def _different_lines(source: str, text: str) -> tuple[str, str]:
    old, new = source.splitlines(), text.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return "\n".join(old), "\n".join(new)
