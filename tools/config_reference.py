"""Write docs/reference/configuration.md: every key of a configuration, from the code that checks it.

python tools/config_reference.py            # writes the page
python tools/config_reference.py --check    # fails where the page is not what the code says
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import griffe
from generated_page import write_or_check
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlreco.config.check import OTHER_NAMES
from mlreco.config.names import FILLED_IN
from mlreco.config.sections.iotool import Dataset, IOTool, Sampler, Source
from mlreco.config.sections.model import Model
from mlreco.config.sections.trainval import IGNORED, TrainVal, Validation
from mlreco.iotools.augmentation import Augmenter
from mlreco.iotools.collate import COLLATES
from mlreco.iotools.parsers import PARSERS
from mlreco.iotools.readers import READERS
from mlreco.iotools.samplers import SAMPLERS
from mlreco.models.blocks import BLOCK_KEYS
from mlreco.models.factories import MODELS, construct
from mlreco.post_processing.factories import POST_PROCESSORS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "configuration.md"
HEAD = """# Configuration reference

<!-- Written by tools/config_reference.py from the code that checks a configuration. Do not edit. -->

A configuration is a YAML file of four sections; [Configurations](../configuration.md) explains how files include each
other and how the command line changes them. Unknown keys and values of another type are errors that name the file, the
line, the key and the nearest valid word.
"""
PROVIDED = (*FILLED_IN, "self")
"""Parameters that the program fills in."""


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for title, kind in (
        ("`iotool`", IOTool),
        ("`iotool.dataset`", Dataset),
        ("`iotool.dataset.sources.NAME`", Source),
        ("`iotool.sampler`", Sampler),
        ("`model`", Model),
        ("`trainval`", TrainVal),
        ("`trainval.validation`", Validation),
    ):
        parts += [f"## {title}", _summary(kind), _fields(kind)]
        if other := OTHER_NAMES.get(kind.__name__):
            parts.append(f"Other names that lartpc_mlreco3d uses are understood: {_words(other)}.")
    parts.append(f"Known for lartpc_mlreco3d and without effect in `trainval`: {_words(IGNORED)}.")
    parts += ["## `iotool.augment`", _arguments(Augmenter)]
    parts += ["## Parsers", "Functions for `iotool.dataset.schema`: `name: {parser: PARSER, args: {...}}`."]
    parts += _entries(PARSERS.builtin, PARSERS.get)
    parts += ["## Samplers", *_entries(SAMPLERS.builtin, SAMPLERS.get, ("num_entries", "batch_size"))]
    parts.append(f"Collation (`iotool.collate_fn`): {_words(COLLATES.builtin)}.")
    parts.append(
        f"Readers (`iotool.dataset.reader`; by the content of the files if absent): {_words(READERS.builtin)}."
    )
    parts += ["## `model.modules`"]
    keys = _words(BLOCK_KEYS)
    parts.append(
        f"A block a stage, with the arguments below and {keys}. The block `STAGE_loss` holds those of its loss."
    )
    for name in MODELS.builtin:
        if name != "chain":
            stage, loss = construct(name)
            parts += [f"### `{name}`", _summary(stage), _arguments(stage), f"#### `{name}_loss`", _arguments(loss)]
    parts += ["## `post_processing`", "A block a post-processor, run in this order on every event."]
    parts += _entries(POST_PROCESSORS.builtin, POST_PROCESSORS.get)
    return "\n\n".join(part for part in parts if part) + "\n"


def _entries(names: Mapping[str, str], find: Callable[[str], Any], without: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the headings and tables of what a registry holds; a second name of something is a line of its own."""
    seen: dict[Any, str] = {}
    for name in names:
        target = find(name)
        if target in seen:
            yield f"`{name}` is another name of `{seen[target]}`."
            continue
        seen[target] = name
        yield f"### `{name}`"
        yield _summary(target)
        yield _arguments(target, without)


def _fields(kind: type[BaseModel]) -> str:
    told = _told(kind, "attributes")
    rows = []
    for name, field in kind.model_fields.items():
        shown = field.alias or name
        rows.append((f"`{shown}`", _type_of_field(field), _default_of_field(field), told.get(name, "")))
    return _table(rows)


def _arguments(target: Any, without: tuple[str, ...] = ()) -> str:
    told = _told(target, "parameters")
    rows = []
    for name, parameter in _signature(target).parameters.items():
        if name in (*PROVIDED, *without) or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        required = parameter.default is parameter.empty
        default = "required" if required else _shown(parameter.default)
        rows.append((f"`{name}`", _spelt(parameter.annotation), default, told.get(name, "")))
    return _table(rows) if rows else "No arguments."


def _signature(target: Any) -> inspect.Signature:
    try:
        return inspect.signature(target, eval_str=True)
    except NameError:
        return inspect.signature(target)


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def _summary(target: Any) -> str:
    """Return the first paragraph of a docstring."""
    text = inspect.getdoc(target) or ""
    return _plain(text.partition("\n\n")[0])


def _plain(text: str) -> str:
    """Return a piece of a docstring as one line of Markdown."""
    return " ".join(re.sub(r":\w+:(?=`)", "", text.replace("``", "`")).split())


def _told(target: Any, section: str) -> dict[str, str]:
    """Return what the docstrings of a class, and of its constructor, say of each attribute or parameter."""
    told: dict[str, str] = {}
    for owner in (target, getattr(target, "__init__", None), _wrapped(target)):
        for part in griffe.Docstring(inspect.getdoc(owner) or "").parse("google", warnings=False):
            if part.kind.value == section:
                told |= {item.name: _plain(item.description) for item in part.value}
    return told


def _wrapped(target: Any) -> Any:
    """Return the constructor of a class in the same module whose signature the target shows as its own."""
    signature = getattr(target, "__signature__", None)
    if signature is None:
        return None
    for candidate in vars(inspect.getmodule(target)).values():
        same = inspect.isclass(candidate) and candidate is not target and "__init__" in vars(candidate)
        if same and set(signature.parameters) == set(inspect.signature(candidate).parameters):
            return candidate.__init__
    return None


def _type_of_field(field: FieldInfo) -> str:
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    return _of_schema(schema, schema.get("$defs", {}))


def _of_schema(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
        return "section" if "properties" in schema else _of_schema(schema, definitions)
    if "anyOf" in schema:
        kinds = [_of_schema(part, definitions) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_of_schema(schema.get('items', {}), definitions)}"
    words = {
        "integer": "integer",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "object": "section",
    }
    bounds = [f"from {schema['minimum']:g}" if "minimum" in schema else ""]
    bounds += [f"above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else ""]
    bounds += [f"to {schema['maximum']:g}" if "maximum" in schema else ""]
    bounds += [f"below {schema['exclusiveMaximum']:g}" if "exclusiveMaximum" in schema else ""]
    return " ".join([words.get(kind, kind), *filter(None, bounds)])


def _default_of_field(field: FieldInfo) -> str:
    if field.default is not PydanticUndefined:
        return _shown(field.default)
    return "required" if field.default_factory is None else ""


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "`''`" if value == "" else f"`{list(value) if isinstance(value, tuple) else value}`"


def _spelt(annotation: Any) -> str:
    """Return an annotation in the words of the page."""
    if annotation is inspect.Parameter.empty:
        return ""
    try:
        schema = TypeAdapter(annotation).json_schema()
    except Exception:  # not a type of plain values: a product of an event
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return "product" if "Voxels" in text or "ndarray" in text else f"`{text}`"
    return _of_schema(schema, schema.get("$defs", {}))


def _words(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
