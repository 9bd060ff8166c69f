"""What a run on this machine would use, in a few lines."""

from __future__ import annotations

from importlib.util import find_spec


def machine_lines() -> list[str]:
    """Tell versions and threads, and of every CUDA device what it trains and infers with."""
    import torch

    from mlreco.provenance import versions
    from mlreco.sparse import UNIT, inference_on

    lines = [
        ", ".join(f"{name} {version}" for name, version in versions().items()),
        f"processor: {UNIT.name}, threads: {torch.get_num_threads()}",
    ]
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else f"; this torch, {torch.__version__}, is built without CUDA"
        return [*lines, f"CUDA devices: none{built}"]
    training = "training runs on spconv"
    if find_spec("spconv") is None:
        training = "training needs spconv: pip install mlreco[cuda]"
    for number in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(number)
        lines.append(f"CUDA device {number}: {torch.cuda.get_device_name(number)}, compute capability {major}.{minor}")
        lines += [f"  {inference_on(torch.device('cuda', number))}", f"  {training}"]
    return lines
