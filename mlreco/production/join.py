"""Joins the manifests of the shards of a production and reports what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlreco.atomic import write_text
from mlreco.errors import UserError
from mlreco.inputs import read_text
from mlreco.production.inputs import Input
from mlreco.production.manifest import Manifest, Plan, manifest_name, read_manifest, write_manifest

_LONGEST = 1 << 30
"""Bytes of a list that are read."""


def list_name(plan: Plan) -> str:
    """Return the name of the list of all files of a production in its folder."""
    return f"inputs-{plan.digest[:12]}.txt"


def write_list(folder: Path, plan: Plan, inputs: Sequence[Input]) -> None:
    """Write the list of all files, which names those that are missing; once for all shards.

    Raises:
        WriteError: it cannot be written.
    """
    path = folder / list_name(plan)
    if not path.exists():
        write_text(path, "".join(f"{one.path}\n" for one in inputs))


def join(folder: str | Path) -> Manifest:
    """Join the manifests of all shards in the folder of a production, and write ``manifest.json``.

    Files of shards that left no manifest are listed as waiting.

    Args:
        folder: the output folder.

    Raises:
        UserError: there is no manifest of a shard, or shards of different productions or lists of files.
    """
    folder = Path(folder)
    paths = sorted(folder.glob("manifest-*-of-*.json"))
    if not paths:
        raise UserError(f"{folder}: holds no manifest of a shard (manifest-I-of-N.json)")
    shards = [read_manifest(path) for path in paths]
    first = shards[0]
    for path, shard in zip(paths, shards, strict=True):
        for what, same in (
            ("another number of shards", (shard.shard or (0, 0))[1] == (first.shard or (0, 0))[1]),
            ("other settings, weights or programs", shard.fingerprint == first.fingerprint),
            ("another list of files", shard.plan == first.plan),
        ):
            if not same:
                raise UserError(
                    f"{path.name} and {paths[0].name} in {folder} are of {what}: remove the manifests of the older "
                    f"production and run its shards again; outputs that are done are passed over"
                )
    done = sorted((one for shard in shards for one in shard.done), key=lambda one: one.place)
    failed = sorted((one for shard in shards for one in shard.failed), key=lambda one: one.place)
    names = _names(folder, first.plan)
    known = {one.place for one in done} | {one.place for one in failed}
    if len(known) != len(done) + len(failed) or (known and max(known) >= first.plan.files):
        raise UserError(f"{folder}: a file is in the manifests of two shards; run the shards again")
    waiting = tuple(names[place] for place in range(first.plan.files) if place not in known)
    manifest = Manifest(
        finished=not waiting,
        fingerprint=first.fingerprint,
        plan=first.plan,
        done=tuple(done),
        failed=tuple(failed),
        waiting=waiting,
    )
    write_manifest(folder / manifest_name(None), manifest)
    return manifest


def _names(folder: Path, plan: Plan) -> list[str]:
    path = folder / list_name(plan)
    names = read_text(path, _LONGEST).splitlines()
    if len(names) != plan.files:
        raise UserError(f"{path}: lists {len(names)} files, and the manifests are of {plan.files}")
    return names
