"""Arithmetic expressions out of a config: read into a tree of allowed operations, never run as source text."""

import ast
import math
import operator
from collections.abc import Callable, Mapping

Numbers = Mapping[str, float]
Term = Callable[[Numbers], float]

NAMES = ("step", "epoch", "total", "share")
CONSTANTS = {"pi": math.pi, "e": math.e}
FUNCTIONS: dict[str, tuple[Callable[..., float], int | None]] = {  # and how many values each takes; None: two or more
    "min": (min, None),
    "max": (max, None),
    "abs": (math.fabs, 1),
    "sqrt": (math.sqrt, 1),
    "exp": (math.exp, 1),
    "log": (math.log, 1),
    "sin": (math.sin, 1),
    "cos": (math.cos, 1),
    "tanh": (math.tanh, 1),
    "floor": (lambda value: float(math.floor(value)), 1),
}
# `math.pow` instead of `**`: a negative number to a broken power is refused and not complex. All numbers are floats,
# so that 9**9**9 overflows at once and does not compute for hours.
OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
}
SIGNS: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
DEEPEST = 40


class Expression:
    """A function of `NAMES`: arithmetic, comparisons, ``a if b else c``, and `FUNCTIONS`."""

    def __init__(self, text: str) -> None:
        """Read ``text``.

        Raises:
            ValueError: it is no expression, or has a part that is not allowed, which the message names.
        """
        self.text = text
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise ValueError(f"it is not an expression ({getattr(error, 'msg', None) or error})") from error
        self._term = _term(tree.body, 0)

    def __call__(self, **numbers: float) -> float:
        """Compute the value.

        Raises:
            ArithmeticError: a division by zero, or a number too large.
            ValueError: a function has no value there.
        """
        return self._term({name: float(value) for name, value in numbers.items()})


def _term(node: ast.expr, depth: int) -> Term:
    """Turn a node into a function of the numbers."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value):
            return _constant(value)
        case ast.Name(id=name):
            return _name(name)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
            return _joined(OPERATORS[type(sign)], _term(left, depth + 1), _term(right, depth + 1))
        case ast.UnaryOp(op=sign, operand=inner) if type(sign) in SIGNS:
            signed, of = SIGNS[type(sign)], _term(inner, depth + 1)
            return lambda numbers: signed(of(numbers))
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in COMPARISONS:
            return _joined(COMPARISONS[type(sign)], _term(left, depth + 1), _term(right, depth + 1))
        case ast.IfExp(test=test, body=body, orelse=other):
            asked, then, otherwise = (_term(part, depth + 1) for part in (test, body, other))
            return lambda numbers: then(numbers) if asked(numbers) else otherwise(numbers)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            return _call(name, [_term(arg, depth + 1) for arg in args])
    shown = ast.unparse(node)
    raise ValueError(
        f"{shown if len(shown) <= 40 else shown[:37] + '...'} is not allowed in it; numbers, {', '.join(NAMES)}, "
        f"{', '.join(CONSTANTS)}, + - * / // % **, comparisons, `a if b else c` and the functions "
        f"{', '.join(FUNCTIONS)} are"
    )


def _constant(value: float) -> Term:
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("it holds a number that is too large") from error
    return lambda numbers: number


def _name(name: str) -> Term:
    if name in CONSTANTS:
        return _constant(CONSTANTS[name])
    if name not in NAMES:
        raise ValueError(f"{name} is unknown in it; it may use {', '.join((*NAMES, *CONSTANTS))}")
    return lambda numbers: numbers[name]


def _joined(sign: Callable[[float, float], float], left: Term, right: Term) -> Term:
    return lambda numbers: float(sign(left(numbers), right(numbers)))


def _call(name: str, terms: list[Term]) -> Term:
    function, count = FUNCTIONS[name]
    if len(terms) < 2 if count is None else len(terms) != count:
        raise ValueError(f"{name} takes {'two or more values' if count is None else 'one value'}, not {len(terms)}")
    return lambda numbers: float(function(*(term(numbers) for term in terms)))
