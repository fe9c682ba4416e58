"""The canonical text of a tree: one way to write it, with as few parentheses as are needed.

Python's own printer writes more of them, and not the same in every version.
"""

import ast

_OPERATORS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.And: "and", ast.Or: "or",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
# How tightly each form binds; what binds less than its surroundings needs parentheses.
_OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _SIGN, _ATOM = range(8)


def printed(tree: ast.expr) -> str:
    """The text of a resolved tree."""
    return _print(tree, _OR)


def _print(node: ast.expr, least: int) -> str:
    text, binding = _form(node)
    return text if binding >= least else f"({text})"


def _form(node: ast.expr) -> tuple[str, int]:
    """The text of a node without parentheses around it, and how tightly it binds."""
    match node:
        case ast.Name(id=name):
            return name, _ATOM
        case ast.Constant(value=str() as word):
            return f'"{word}"' if '"' not in word else repr(word), _ATOM
        case ast.Constant(value=int() | float() as number):
            return repr(number), _ATOM if number >= 0 else _SIGN
        case ast.Attribute(value=owner, attr=name):
            return f"{_print(owner, _ATOM)}.{name}", _ATOM
        case ast.Call(func=function, args=arguments):
            return f"{_print(function, _ATOM)}({_listed(arguments)})", _ATOM
        case ast.Tuple(elts=members):
            return f"({_listed(members)}{',' if len(members) == 1 else ''})", _ATOM
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"not {_print(operand, _NOT)}", _NOT
        case ast.UnaryOp(operand=operand):
            return f"-{_print(operand, _SIGN)}", _SIGN
        case ast.BinOp(left=left, op=op, right=right):
            level = _SUM if isinstance(op, ast.Add | ast.Sub) else _PRODUCT
            sides = _print(left, level), _print(right, level + 1)
            return f" {_OPERATORS[type(op)]} ".join(sides), level
        case ast.BoolOp(op=op, values=values):
            level = _OR if isinstance(op, ast.Or) else _AND
            parts = [_print(value, level + 1) for value in values]
            return f" {_OPERATORS[type(op)]} ".join(parts), level
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            text = _print(left, _COMPARISON + 1)
            for comparison, right in zip(ops, comparators, strict=True):
                text += f" {_OPERATORS[type(comparison)]} {_print(right, _COMPARISON + 1)}"
            return text, _COMPARISON
    raise AssertionError(ast.dump(node))  # the expander lets nothing else through


def _listed(nodes: list[ast.expr]) -> str:
    return ", ".join(_print(node, _OR) for node in nodes)
