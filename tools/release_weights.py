"""Make weights small enough to ship: half precision, no optimiser, names of files without their folders.

    python tools/release_weights.py weights/thin/snapshot-20000.ckpt config/weights/thin.ckpt

Tensors become half precision, but for those with numbers that it cannot hold. What the checkpoint tells about its
training stays, less the folders and the host of the one who trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml

from mlreco.checkpoints.file import read_checkpoint, write_checkpoint
from mlreco.checkpoints.metadata import Metadata, metadata_of


def released(checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of the checkpoint that is shipped.

    Args:
        checkpoint: content of one that ``mlreco train`` wrote.
        path: where it was read, for messages.
    """
    metadata = _without_folders(metadata_of(checkpoint, path))
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


def _without_folders(metadata: Metadata) -> Metadata:
    """Return the metadata with the names of files alone, and without the host."""
    data = metadata.data
    if data is not None:
        data = data.model_copy(update={"files": tuple(Path(file).name for file in data.files)})
    history = tuple(
        run.model_copy(update={"host": "", "begun_from": Path(run.begun_from).name if run.begun_from else ""})
        for run in metadata.history
    )
    return metadata.model_copy(update={"data": data, "history": history, "config": _plain_config(metadata.config)})


def _plain_config(text: str) -> str:
    """Return the YAML text of a configuration with files and prefixes without their folders."""
    config = yaml.safe_load(text)
    dataset = config.get("iotool", {}).get("dataset", {})
    for key in ("data_keys", "file_keys"):
        if isinstance(dataset.get(key), list):
            dataset[key] = [Path(file).name for file in dataset[key]]
    for section in (config.get("trainval", {}), *(config.get("model", {}).get("modules", {}).values())):
        for key in ("weight_prefix", "log_dir", "model_path"):
            if isinstance(section, dict) and section.get(key):
                section[key] = Path(section[key]).name
    return yaml.safe_dump(config, sort_keys=False)


def main() -> None:
    """Read, shrink, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="file that 'mlreco train' wrote")
    parser.add_argument("output", type=Path, help="file to write")
    arguments = parser.parse_args()
    write_checkpoint(arguments.output, released(read_checkpoint(arguments.checkpoint), arguments.checkpoint))
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
