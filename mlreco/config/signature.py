"""Checks arguments in a configuration against the signature of the class or function that they are for."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mlreco.errors import nearest

_CHECKED = (bool, int, float, str, list, tuple, dict, type(None))


@dataclass(frozen=True)
class Parameters:
    """The keyword arguments of a class or function.

    Attributes:
        types: name -> annotation, or `inspect.Parameter.empty`.
        required: names without a default.
        open: whether it takes any other keyword as well.
    """

    types: Mapping[str, Any]
    required: tuple[str, ...]
    open: bool

    @staticmethod
    def of(function: Callable[..., Any], given: Iterable[str] = ()) -> Parameters:
        """Read the signature of a class or function.

        Args:
            function: the class or function; ``__signature__`` is honoured.
            given: parameters that the program fills in, which a configuration may not.
        """
        signature = _signature(function)
        named, required, any_keyword = {}, [], False
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                any_keyword = True
            elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in given:
                named[name] = parameter.annotation
                if parameter.default is parameter.empty:
                    required.append(name)
        return Parameters(named, tuple(required), any_keyword)

    def problem(self, arguments: Mapping[str, Any], also: Iterable[str] = ()) -> tuple[str, str] | None:
        """Return the first mistake in some arguments as (name of the argument, sentence), or None.

        Args:
            arguments: what the configuration gives.
            also: names that are valid beside the parameters.
        """
        extra = set(also)
        for name, value in arguments.items():
            if name in self.types:
                sentence = _type_problem(self.types[name], value)
                if sentence:
                    return name, sentence
            elif name not in extra and not self.open:
                return name, f"unknown key{nearest(name, {*self.types, *extra})}"
        missing = [name for name in self.required if name not in arguments]
        return (missing[0], "this key is required") if missing else None


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:
        return inspect.signature(function)


def _type_problem(annotation: Any, value: Any) -> str:
    if not _plain(annotation):
        return ""
    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(_tupled(annotation, value))
    except ValidationError:
        return f"expected {_spelt(annotation)}, not {value!r}"
    return ""


def _plain(annotation: Any) -> bool:
    """Tell whether an annotation consists of plain types only, so that a YAML value can be checked against it."""
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return True
    if origin in (typing.Union, types.UnionType, list, tuple, dict, Mapping, Sequence):
        return all(part is Ellipsis or _plain(part) for part in typing.get_args(annotation))
    return annotation in _CHECKED


def _tupled(annotation: Any, value: Any) -> Any:
    parts = [annotation, *typing.get_args(annotation)]
    wants_tuple = any(part is tuple or typing.get_origin(part) is tuple for part in parts)
    wants_list = any(part is list or typing.get_origin(part) in (list, Sequence) for part in parts)
    return tuple(value) if isinstance(value, list) and wants_tuple and not wants_list else value


def _spelt(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(annotation))
    return getattr(annotation, "__name__", str(annotation)) if isinstance(annotation, type) else str(annotation)
