"""Random transforms of the user's own that draw for validation items too, as their source text says."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from mfc.dsl.annotations import last_name, literal

DRAWS_IN_EVALUATION = "draws at random for validation items too: it is its own evaluation form"
RETURN_INSTEAD = "return what does the same without drawing, or None for nothing at all"


def drawing_in_evaluation(lineage: Sequence[ast.ClassDef], kind: str) -> ast.stmt | None:
    """The `return self` in the method `evaluation` of a random transform. `lineage` is its class and its bases, nearest
    first. A batch transform is taken as random where it says how many numbers it draws."""
    if kind == "batch_transform" and not any(map(_draws, lineage)):
        return None
    for base in lineage:
        for method in base.body:
            if isinstance(method, ast.FunctionDef) and method.name == "evaluation":
                last = method.body[-1]
                own = (
                    isinstance(last, ast.Return)
                    and isinstance(last.value, ast.Name)
                    and last.value.id == "self"
                )
                return last if own else None
    return None


def _draws(node: ast.ClassDef) -> bool:
    """Whether a class says that it draws numbers: `draws = 2`, or `self.draws = ...`."""
    for item in ast.walk(node):
        if isinstance(item, ast.Assign | ast.AnnAssign) and item.value is not None:
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            names = [last_name(target) for target in targets if isinstance(target, ast.Name | ast.Attribute)]
            if "draws" in names and literal(item.value) != 0:
                return True
    return False
