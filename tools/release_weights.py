"""Make weights small enough to ship: half precision, no optimiser, names of files without their folders.

    python tools/release_weights.py weights/thin/snapshot-20000.ckpt config/weights/thin.ckpt

Tensors become half precision, but for those with numbers that it cannot hold. What the checkpoint tells about its
training stays, less the folders and the host of the one who trained.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from changed_weights import exit_status

from mlreco.checkpoints.file import read_checkpoint, write_checkpoint
from mlreco.checkpoints.metadata import Metadata, metadata_of
from mlreco.errors import UserError
from mlreco.yaml_reader import read_sections


def released(checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of the checkpoint that is shipped.

    Args:
        checkpoint: content of one that ``mlreco train`` wrote.
        path: where it was read, for messages.

    Raises:
        UserError: it has no weights, or tells what no checkpoint of mlreco does.
    """
    for key in ("state_dict", "iteration"):
        if key not in checkpoint:
            raise UserError(f"{path}: has no '{key}'; it is no checkpoint of 'mlreco train'")
    metadata = _without_folders(metadata_of(checkpoint, path), path)
    return {
        "state_dict": {name: _small(tensor) for name, tensor in checkpoint["state_dict"].items()},
        "iteration": checkpoint["iteration"],
        "config": metadata.config,
        "mlreco_version": checkpoint.get("mlreco_version", ""),
        "metadata": metadata.model_dump_json(),
    }


def _small(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in half precision, or as it is where half precision would be further off than rounding is."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    is_near = torch.allclose(half.to(tensor.dtype), tensor, rtol=2**-10, atol=1e-6)
    return half if is_near else tensor


def _without_folders(metadata: Metadata, path: Path) -> Metadata:
    """Return the metadata with the names of files alone, and without the host."""
    config = _plain_config(metadata.config, f"{path}: its configuration")
    data = metadata.data
    if data is not None:
        data = data.model_copy(update={"files": tuple(Path(file).name for file in data.files)})
    history = tuple(
        run.model_copy(update={"host": "", "begun_from": Path(run.begun_from).name if run.begun_from else ""})
        for run in metadata.history
    )
    return metadata.model_copy(update={"data": data, "history": history, "config": config})


def _plain_config(text: str, source: str) -> str:
    """Return the YAML text of a configuration with files and prefixes without their folders."""
    config = read_sections(text, source)
    for section in (config.get("iotool", {}).get("dataset"), *_with_prefixes(config)):
        if not isinstance(section, dict):
            continue
        for key in ("data_keys", "file_keys"):
            if isinstance(section.get(key), list):
                section[key] = [Path(str(file)).name for file in section[key]]
        for key in ("weight_prefix", "log_dir", "model_path"):
            if isinstance(section.get(key), str):
                section[key] = Path(section[key]).name
    return yaml.safe_dump(config, sort_keys=False)


def _with_prefixes(config: dict[str, dict[str, Any]]) -> list[Any]:
    """Return the sections that name folders of checkpoints and logs."""
    modules = config.get("model", {}).get("modules")
    return [config.get("trainval"), *(modules.values() if isinstance(modules, dict) else ())]


def main() -> int:
    """Read, shrink, write; return 2 where the checkpoint cannot be read or its copy not be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="file that 'mlreco train' wrote")
    parser.add_argument("output", type=Path, help="file to write")
    arguments = parser.parse_args()

    def work() -> None:
        content = read_checkpoint(arguments.checkpoint)
        write_checkpoint(arguments.output, released(content, arguments.checkpoint))
        print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
