"""A chain as a user names it: a configuration file, a shipped name, or a checkpoint that holds its configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlreco import shipped
from mlreco.config import Config, load_config, parse_config
from mlreco.errors import UserError
from mlreco.inputs import input_file
from mlreco.iotools.filekind import ARCHIVE, file_kind
from mlreco.remote import fetch, is_remote
from mlreco.shipped import CONFIG_SUFFIXES

CHECKPOINT_SUFFIXES = (".ckpt", ".pt", ".pth")


@dataclass(frozen=True)
class Recipe:
    """A checked configuration, and the checkpoint that it came from.

    Attributes:
        config: the configuration.
        checkpoint: file with weights of all stages; None where the configuration names its weights itself.
    """

    config: Config
    checkpoint: Path | None = None


def read_recipe(
    source: str | Path,
    overrides: Sequence[str] = (),
    sources: Sequence[str | Path] = (),
    sha256: str | None = None,
) -> Recipe:
    """Return the chain of a name.

    Args:
        source: a configuration file, the name of a shipped configuration (``thin``), or a checkpoint of ``mlreco
            train``, here or elsewhere (`mlreco.remote.fetch`). A file comes before a shipped name.
        overrides: texts ``section.key=value``.
        sources: files of events to read instead of those of the configuration, or names of shipped ones;
            ``sample`` is that which the configuration reads, the thin one where it reads other files.
        sha256: checksum of a checkpoint from elsewhere.

    Raises:
        UserError: no such file or name, a checkpoint without its configuration, or a mistake in a configuration.
    """
    path = fetch(str(source), sha256) if is_remote(source) else find_recipe(source)
    if is_checkpoint(path):
        read, checkpoint = partial(parse_config, _configuration_text(path), path, overrides), path
    else:
        read, checkpoint = partial(load_config, path, overrides), None
    return Recipe(read(sources=_event_files(sources, read)), checkpoint)


def find_recipe(source: str | Path) -> Path:
    """Return the file that a name stands for.

    Raises:
        UserError: no such file or name.
    """
    path = Path(source)
    if path.exists() and not path.is_dir():
        input_file(path)
        return path
    if str(source) in shipped.configurations():
        return shipped.configuration(str(source))
    if path.is_dir():
        raise UserError(f"{source}: is a folder; give a configuration, a checkpoint or a shipped name")
    if path.suffix in (*CONFIG_SUFFIXES, *CHECKPOINT_SUFFIXES) or len(path.parts) != 1:
        kind = "checkpoint" if path.suffix in CHECKPOINT_SUFFIXES else "configuration file"
        known = path.stem if str(source) == path.name and path.stem in shipped.configurations() else ""
        raise UserError(f"{source}: no such {kind}{f'; the shipped chain is named {known!r}' if known else ''}")
    return shipped.configuration(str(source))


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint, by its content: torch writes zip archives.

    Raises:
        UserError: the file is empty or cannot be read.
    """
    return file_kind(path) == ARCHIVE


def _event_files(sources: Sequence[str | Path], read: Callable[[], Config]) -> list[str | Path]:
    """Return the files of events behind names.

    Args:
        sources: files, or names of shipped ones.
        read: returns the configuration as it is without them.
    """
    names = {name: [file] for name, file in shipped.samples().items()}
    if shipped.SAMPLE in map(str, sources):
        names[shipped.SAMPLE] = _own_samples(read) or names[shipped.SAMPLE]
    files: list[str | Path] = []
    for one in sources:
        files += names.get(str(one), [one])
    return files


def _own_samples(read: Callable[[], Config]) -> list[Path]:
    """Return the shipped samples that a configuration reads; nothing where it reads other files or names none."""
    try:
        files = read().iotool.dataset.get("data_keys") or ()
    except UserError:  # without events it may be incomplete; any other mistake is told when it is read with them
        return []
    own = [Path(file).resolve() for file in files]
    return own if all(map(shipped.is_sample, own)) else []


def _configuration_text(path: Path) -> str:
    from mlreco.checkpoints import read_metadata

    text = read_metadata(path).config
    if not text:
        raise UserError(
            f"{path}: holds weights without a configuration; give the configuration, and these as its weights "
            f"(--weights, or weights= in Python)"
        )
    return text
