"""The ``schema`` section: which parser makes each blob, from which products."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlreco.errors import UserError, nearest
from mlreco.iotools.parsers import find_parser

_KINDS = {"sparse": "sparse3d", "cluster": "cluster3d", "particle": "particle", "graph": "graph"}
"""First word of a parser's product argument to the kind of product."""


@dataclass(frozen=True)
class SchemaEntry:
    """One blob of the batch.

    Attributes:
        key: its name in the batch.
        parser: function that makes it.
        products: parser argument to the name of a product, or to a tuple of names.
        options: parser arguments that are no products.
    """

    key: str
    parser: Callable[..., Any]
    products: dict[str, str | tuple[str, ...]]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def translates(self) -> bool:
        """Whether the parser translates the classes of an image in another numbering."""
        return "image_scheme" in inspect.signature(self.parser).parameters and not self.options.get("precedence")

    def translating(self, scheme: str) -> SchemaEntry:
        """Return the entry for an image whose classes are numbered as in ``scheme``."""
        return replace(self, options={**self.options, "image_scheme": scheme})

    def product_names(self) -> list[str]:
        """Names of all products that the parser needs."""
        return [name for value in self.products.values() for name in ([value] if isinstance(value, str) else value)]

    def parse(self, loaded: Mapping[str, Any]) -> Any:
        """Run the parser on loaded products, given by name."""
        arguments = {
            argument: loaded[value] if isinstance(value, str) else [loaded[name] for name in value]
            for argument, value in self.products.items()
        }
        return self.parser(**arguments, **self.options)


def read_schema(schema: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> list[SchemaEntry]:
    """Read a schema in either generation of lartpc_mlreco3d.

    Args:
        schema: key to ``{parser: name, args: {...}}`` or to ``[parser, product, ...]``.
        defaults: options given to every parser that has an argument of that name, unless the schema sets it.

    Raises:
        UserError: a malformed entry, an unknown parser or argument, a product of the wrong kind.
    """
    if not isinstance(schema, Mapping) or not schema:
        raise UserError("iotool.dataset.schema must map names to parsers")
    return [_read_entry(key, entry, defaults or {}) for key, entry in schema.items()]


def _read_entry(key: str, entry: Any, defaults: Mapping[str, Any]) -> SchemaEntry:
    where = f"iotool.dataset.schema.{key}"
    if isinstance(entry, Mapping):
        unknown = next((name for name in entry if name not in ("parser", "args")), None)
        if unknown is not None:
            raise UserError(f"{where}: unknown key '{unknown}'{nearest(unknown, ('parser', 'args'))}")
        name, given = entry.get("parser"), entry.get("args") or {}
    elif isinstance(entry, Sequence) and not isinstance(entry, str) and entry:
        name, given = entry[0], list(entry[1:])
    else:
        name, given = None, {}
    if not isinstance(name, str) or not isinstance(given, (Mapping, list)):
        raise UserError(f"{where} must be {{parser: name, args: {{...}}}} or [parser, product, ...]")
    try:
        parser = find_parser(name)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    arguments = list(inspect.signature(parser).parameters)
    values = dict(given) if isinstance(given, Mapping) else _by_kind(where, arguments, given)
    products: dict[str, str | tuple[str, ...]] = {}
    options = {argument: value for argument, value in defaults.items() if argument in arguments}
    for argument, value in values.items():
        if argument not in arguments:
            raise UserError(f"{where}: {name} has no argument '{argument}'{nearest(argument, arguments)}")
        if _kind_of(argument) is None:
            options[argument] = value
        elif value is not None:
            products[argument] = _checked(f"{where}.{argument}", argument, value)
    _check_required(where, name, parser, {*products, *options})
    return SchemaEntry(key, parser, products, options)


def _kind_of(argument: str) -> str | None:
    """Return the kind of product that a parser argument takes, None where it takes none."""
    if not argument.endswith(("_event", "_event_list")):
        return None
    return _KINDS.get(argument.partition("_")[0])


def _checked(where: str, argument: str, value: Any) -> str | tuple[str, ...]:
    """Check that a product argument names products of its kind."""
    many = argument.endswith("_list")
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where} must be the name of a product{' or a list of names' if many else ''}, not {value!r}")
    if not many and len(names) > 1:
        raise UserError(f"{where} takes one product, not {len(names)}")
    kind = _kind_of(argument)
    for name in names:
        if name.partition("_")[0] != kind or not name.partition("_")[2]:
            raise UserError(f"{where}: '{name}' is not the name of a {kind} product ({kind}_PRODUCER)")
    return tuple(names) if many else names[0]


def _by_kind(where: str, arguments: Sequence[str], names: Sequence[Any]) -> dict[str, Any]:
    """Assign the products of a list entry to the parser's arguments: each to the first free one of its kind."""
    values: dict[str, Any] = {}
    for name in names:
        kind = str(name).partition("_")[0]
        fitting = [argument for argument in arguments if _kind_of(argument) == kind]
        lists = [argument for argument in fitting if argument.endswith("_list")]
        free = [argument for argument in fitting if argument not in values]
        if lists:
            values.setdefault(lists[0], []).append(name)
        elif free:
            values[free[0]] = name
        else:
            raise UserError(f"{where}: the parser takes no (further) product like '{name}'")
    return values


def _check_required(where: str, name: str, parser: Callable[..., Any], given: set[str]) -> None:
    for argument, parameter in inspect.signature(parser).parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not variadic and argument not in given:
            raise UserError(f"{where}: {name} needs the argument '{argument}'")
