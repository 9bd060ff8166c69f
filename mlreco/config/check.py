"""Checks values against the typed sections; a mistake becomes one line with file, key and nearest valid word."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from mlreco.config.merge import Tree
from mlreco.config.sections import Sections
from mlreco.config.sections.base import Section
from mlreco.errors import UserError, nearest
from mlreco.yaml_reader import KeyPath

IGNORED_SECTIONS = ("analysis",)
OTHER_NAMES: dict[str, tuple[str, ...]] = {"IOTool": ("collate",), "Dataset": ("file_keys", "data_dirs", "data_key")}
"""Keys of a section that are not its fields."""


def check_sections(tree: Tree) -> dict[str, Any]:
    """Return the values in canonical form, with defaults, or raise the first mistake.

    Raises:
        UserError: an unknown key, a missing key or a value of a wrong type.
    """
    values = {key: value for key, value in tree.values.items() if key not in IGNORED_SECTIONS}
    try:
        sections = Sections.model_validate(values)
    except ValidationError as error:
        raise UserError(_one_line(error, tree)) from None
    return _dump(sections)


def _one_line(error: ValidationError, tree: Tree) -> str:
    errors = error.errors(include_url=False, include_context=True)
    first = min(errors, key=lambda item: item["type"] != "extra_forbidden")
    path = _written_path(first["loc"], tree.values)
    return f"{tree.place(path)}: {'.'.join(path) or 'configuration'}: {_sentence(first, path, tree)}"


def _written_path(loc: tuple[int | str, ...], values: Any) -> KeyPath:
    """Return the key path of an error's location, without the names of alternatives that pydantic puts in."""
    path: list[str] = []
    here = values
    for number, step in enumerate(loc):
        key = str(step)
        last = number == len(loc) - 1
        if isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
        elif isinstance(here, Mapping) and (step in here or (last and not key.endswith("]"))):
            here = here.get(step)
        else:
            continue
        path.append(key)
    return tuple(path)


def _sentence(error: Mapping[str, Any], path: KeyPath, tree: Tree) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"unknown key{nearest(path[-1], _valid_keys(path[:-1]))}"
    if kind == "missing":
        return "this key is required"
    if kind in _SENTENCES:
        limits = error.get("ctx", {})
        return f"{_SENTENCES[kind].format(**limits)}, not {_shown(error['input'])}"
    return str(error["msg"])


_SENTENCES = {
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "string_type": "expected a text",
    "list_type": "expected a list",
    "dict_type": "expected a section of keys and values",
    "model_type": "expected a section of keys and values",
    "model_attributes_type": "expected a section of keys and values",
    "greater_than": "expected a number above {gt:g}",
    "greater_than_equal": "expected at least {ge:g}",
    "too_long": "expected at most {max_length} entries",
    "too_short": "expected at least {min_length} of them",
}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a section" if value else "an empty section"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    return repr(value) if not isinstance(value, bool) else str(value).lower()


def _valid_keys(path: KeyPath) -> list[str]:
    """Return the keys of the section at a path."""
    model: Any = Sections
    for key in path:
        field = next((f for n, f in model.model_fields.items() if key in (n, f.alias)), None)
        nested = list(_sections_in(field.annotation)) if field else list(_sections_in(model))
        if not nested:
            break
        model = nested[0]
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [*names, *OTHER_NAMES.get(model.__name__, ())]


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType, dict, list):
        for part in typing.get_args(annotation):
            yield from _sections_in(part)


def _dump(value: Any) -> Any:
    if not isinstance(value, BaseModel):
        return {key: _dump(item) for key, item in value.items()} if isinstance(value, dict) else value
    values = {field.alias or name: _dump(getattr(value, name)) for name, field in type(value).model_fields.items()}
    if isinstance(value, Section) and value.omit_absent:
        return {key: item for key, item in values.items() if item is not None}
    return values
