"""The expressions of a template: what is understood of them, and its value.

Jinja's expressions are nearly Python's. Python's parser reads them (it runs nothing),
and what stands below computes the few kinds of node that templates need; every other is
refused. A filter, `a | trim`, binds tighter than anything but a dot: it is read as a
power, `a ** trim`, which does so too, and a `~`, which joins texts, as an `@`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from typing import Any

from .operations import CASES, cased, equal, filtered, part, stripped, tested, within
from .values import ListError, Missing, Said, TemplateError, joined, said

LONGEST_EXPRESSION = 4000
_STRINGS = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_OTHER = re.compile(r"\*|@|[^\w\s.,()\[\]:=!<>+\-%/|~]")
_BEFORE_TEXT = re.compile(r"\b(?:in|and|or|not|if|else)$")
CONSTANTS = {"true": True, "false": False, "none": None}


def evaluate(source: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression.

    >>> evaluate("message['role'].upper() + ': '", {"message": {"role": "user"}})
    'USER: '
    >>> from refvlm.text.templates.values import Loop
    >>> evaluate("loop.index0 % 2 == 0 and tools is not defined", {"loop": Loop(2, 3)})
    True
    """
    return _value(_parsed(source), names)


def truth(value: Any) -> bool:
    """Whether a condition holds: an empty text or list does not."""
    return bool(str(value)) if isinstance(value, Said) else bool(value)


def _parsed(source):
    if len(source) > LONGEST_EXPRESSION:
        raise TemplateError("has an expression of more than 4,000 characters")
    parts = _STRINGS.split(source)
    for i in range(0, len(parts), 2):  # what stands between the strings
        prefixed = i + 1 < len(parts) and re.search(r"\w$", parts[i])  # r'...', f'...'
        if _OTHER.search(parts[i]) or (prefixed and not _BEFORE_TEXT.search(parts[i])):
            raise _foreign(source)
        parts[i] = parts[i].replace("|", "**").replace("~", "@").replace("\n", " ")
    for i in range(1, len(parts), 2):
        parts[i] = parts[i].replace("\n", "\\n")
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes such as \d
            return ast.parse("".join(parts).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _foreign(source) from None


def _foreign(source):
    return TemplateError(f"uses {source!r:.80}, which is not understood here")


def _value(node, names):
    compute = COMPUTED.get(type(node))
    if compute is None:
        raise _foreign(ast.unparse(node).replace("**", "|").replace("@", "~"))
    return compute(node, names)


def _constant(node, names):
    if node.value is not None and type(node.value) not in (str, int, bool):
        raise _foreign(repr(node.value))
    return node.value


def _name(node, names):
    if node.id in names:
        return names[node.id]
    if node.id in CONSTANTS:
        return CONSTANTS[node.id]
    return Missing(node.id)


def _attribute(node, names):
    return part(_value(node.value, names), node.attr, ast.unparse(node))


def _subscript(node, names):
    whole = _value(node.value, names)
    if isinstance(node.slice, ast.Slice):
        ends = (node.slice.lower, node.slice.upper, node.slice.step)
        start, stop, step = (None if e is None else _value(e, names) for e in ends)
        if not isinstance(whole, list) or step is not None:
            raise _foreign(ast.unparse(node))
        return whole[_whole(start) : _whole(stop)]
    return part(whole, _value(node.slice, names), ast.unparse(node))


def _whole(end):
    if end is not None and type(end) is not int:
        raise TemplateError(f"counts by {end!r:.40}, which is no whole number")
    return end


def _call(node, names):
    given = [_value(argument, names) for argument in node.args]
    function = node.func
    if isinstance(function, ast.Name) and function.id == "raise_exception":
        raise TemplateError(f"refuses this conversation: {'; '.join(map(str, given))}")
    if isinstance(function, ast.Attribute) and not node.keywords:
        whole, name = _value(function.value, names), function.attr
        if name in ("strip", "lstrip", "rstrip") and not given:
            return stripped(whole, name != "rstrip", name != "lstrip")
        if name in CASES and not given:
            return cased(whole, name)
        texts = [value for value in (whole, *given) if isinstance(value, (str, Said))]
        if name in ("startswith", "endswith") and len(texts) == 2 == len(given) + 1:
            return getattr(str(whole), name)(str(given[0]))
        if name == "get" and isinstance(whole, dict) and len(texts) == len(given) == 1:
            return whole.get(str(given[0]))
        if isinstance(whole, list):
            raise ListError("takes a list for a text")
    raise _foreign(ast.unparse(node))


def _binary(node, names):
    if isinstance(node.op, ast.Pow):
        return _filtered(_value(node.left, names), node.right, names)
    first, second = _value(node.left, names), _value(node.right, names)
    numbers = type(first) is int and type(second) is int
    match node.op:
        case ast.MatMult():
            return joined(said(first), said(second))
        case ast.Add() if not numbers:
            for value in (first, second):
                if type(value) is int:
                    raise TemplateError("adds a number to a text")
            return joined(first, second)
        case ast.Add() if numbers:
            return first + second
        case ast.Sub() if numbers:
            return first - second
        case ast.Mod() if numbers and second:
            return first % second
    raise _foreign(ast.unparse(node))


def _filtered(value, node, names):
    """`value | filter`, and `value | one | another`: a power of a power."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _filtered(_filtered(value, node.left, names), node.right, names)
    name, given = node, []
    if isinstance(node, ast.Call) and not node.keywords:
        name, given = node.func, [_value(argument, names) for argument in node.args]
    if not isinstance(name, ast.Name):
        raise _foreign(f"| {ast.unparse(node)}")
    return filtered(value, name.id, given)


def _compare(node, names):
    if len(node.ops) != 1:
        raise _foreign(ast.unparse(node))
    operator, other = node.ops[0], node.comparators[0]
    if isinstance(operator, (ast.Is, ast.IsNot)):
        if isinstance(node.left, ast.BinOp) and not isinstance(node.left.op, ast.Pow):
            raise _foreign(ast.unparse(node))  # Jinja reads a + (b is c)
        name = "none" if ast.unparse(other) == "None" else getattr(other, "id", "")
        found = tested(_value(node.left, names), name)
        return found if isinstance(operator, ast.Is) else not found
    first, second = _value(node.left, names), _value(other, names)
    numbers = type(first) is int and type(second) is int
    match operator:
        case ast.Eq():
            return equal(first, second)
        case ast.NotEq():
            return not equal(first, second)
        case ast.In() | ast.NotIn():
            return within(first, second) is isinstance(operator, ast.In)
        case ast.Lt() if numbers:
            return first < second
        case ast.LtE() if numbers:
            return first <= second
        case ast.Gt() if numbers:
            return first > second
        case ast.GtE() if numbers:
            return first >= second
    raise _foreign(ast.unparse(node))


def _unary(node, names):
    value = _value(node.operand, names)
    if isinstance(node.op, ast.Not):
        return not truth(value)
    if isinstance(node.op, ast.USub) and type(value) is int:
        return -value
    raise _foreign(ast.unparse(node))


def _boolean(node, names):
    for operand in node.values:
        value = _value(operand, names)
        if truth(value) is not isinstance(node.op, ast.And):
            break
    return value


def _choice(node, names):
    chosen = node.body if truth(_value(node.test, names)) else node.orelse
    return _value(chosen, names)


def _several(node, names):
    return [_value(entry, names) for entry in node.elts]


COMPUTED = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Call: _call,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _choice,
    ast.List: _several,
    ast.Tuple: _several,
}
