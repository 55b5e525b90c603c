"""What a settings class says of its fields: the texts under them, read from its source where somebody shows them.

Python throws these texts away. Pydantic would keep them (`use_attribute_docstrings`), but for that it reads the source
of every settings class at every start, which took 0.3 s of the 1 s that the code location needs beyond Dagster's own.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys

from trainer.mistakes import fields_of


def field_texts(kind: type) -> dict[str, str]:
    """The texts under a settings class's fields, those of its bases included, by field; each on one line."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if fields_of(base):
            texts |= _texts_of_module(base.__module__).get(base.__name__, {})
    return texts


@functools.cache
def _texts_of_module(module: str) -> dict[str, dict[str, str]]:
    """By class and field."""
    body = ast.parse(inspect.getsource(sys.modules[module])).body
    return {statement.name: _texts_of_class(statement) for statement in body if isinstance(statement, ast.ClassDef)}


def _texts_of_class(definition: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in itertools.pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
