"""Damage files of a kind and run every command on them: ``python run.py KIND,... FOLDER FIRST_SEED NUMBER [--quick]``.

Prints what was wrong as JSON, in the last line.
"""

import io
import json
import os
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "iotools")]

from commands import COMMANDS, TINY, is_quick, run  # noqa: E402
from mutate import damage  # noqa: E402


def sound_files(kind, folder, quick):
    """Make the sound file of a kind, and an output file for commands that need one beside; return them."""
    import numpy as np
    from io_samples import write_events
    from test_pilarnet_m import make_event, write

    from mlreco.config.standalone import standalone
    from mlreco.iotools.conversion import convert

    events, output, config = folder / "events.h5", folder / "output.h5", folder / "config.cfg"
    write_events(events, (40, 0, 25))
    text = standalone("uresnet_cpu")
    config.write_text(re.sub(r"data_keys:.*\n(?: *- .*\n)*", f"data_keys: [{events}]\n", text))
    if kind == "checkpoint":
        return write_training(config, folder / "training.ckpt"), output, config
    if quick:
        write_output(output)
    elif kind in ("output", "thresholds", "config"):
        words = ["inference", "thin", "-s", str(events), "-o", str(output), *TINY]
        status, text = here([*words, "--set", "model.modules.grappa.write_pairs=true"])
        assert status == 0, text
    source = {"output": output, "config": config, "larcv3": events}.get(kind)
    if kind == "cache":
        source = folder / "cache.h5"
        convert(events, source, "cache")
    elif kind == "larcv2":
        source = HERE.parent / "iotools" / "genuine" / "larcv2.root"
    elif kind == "pilarnet_m":
        source = folder / "pilarnet_m.h5"
        write(source, [make_event(np.random.default_rng(0), (9, 30, 4)) for _ in range(3)])
    elif kind == "thresholds":
        source = folder / "thresholds.yaml"
        source.write_text(
            "HIP: {seed: 0.5, probability: 0.2}\nMIP: {seed: 0.1, probability: 0.3}\ndbscan: {MIP: 2.0}\n"
        )
    elif kind == "log":
        source = folder / "train_log-0000000.csv"
        lines = [f"{n},{n / 3},0.25,{n / 4},{1 / n},0.5,{2 / n}" for n in range(1, 40)]
        source.write_text("\n".join(["iter,epoch,titer,tsum,loss,uresnet_loss,uresnet_accuracy", *lines, ""]))
    elif kind == "list":
        source = folder / "list.txt"
        source.write_text(f"# events\n{events}\n{events}\n")
    return source, output, config


def write_output(path):
    """Write an output file without a network."""
    import numpy as np
    from test_output_as_input import CONFIG, make_event

    from mlreco.config import load_config
    from mlreco.iotools import HDF5Writer
    from mlreco.semantics import PILARNET

    rng = np.random.default_rng(0)
    info = {"cfg": load_config(CONFIG).text, "class_scheme": "pilarnet", "classes": list(PILARNET.classes)}
    info |= {"thresholds": {"MIP": {"seed": 0.5, "probability": 0.1}}, "source_files": '["a.h5"]'}
    with HDF5Writer(path, info, {"times": ("io", "post_processing")}) as writer:
        for count in (40, 0, 25):
            writer.append(make_event(rng, count))


def write_training(config, path):
    """Write the checkpoint of a training of two iterations, without a network's passing; return its path."""
    import torch

    from mlreco.checkpoints.fingerprint import fingerprint
    from mlreco.config import load_config
    from mlreco.iotools import loader_factory
    from mlreco.training.checkpoints import save_checkpoint
    from mlreco.training.team import Team
    from mlreco.training.train import _begin, _describe

    config = load_config(config, ["iotool.num_workers=0", "trainval.iterations=3"])
    state = _begin(config, 3, None, 0, Team())
    state.iteration = 2
    for parameter in state.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.optimizer.step()
    for _ in range(2):
        state.scheduler.step()
    with loader_factory(config["iotool"], train=True, seed=0, start_iteration=2) as loader:
        state.batches = loader.state_dict()
        data = fingerprint(loader.dataset, config["model"]["network_input"][0])
    _describe(state, config, 3, data, None, None, Team())
    state.reports = {"log": {"path": str(path), "bytes": 3}, "interval": {"loss": [1.5, 2]}}
    save_checkpoint(path, state)
    return path


def main(kinds, folder, first, number, quick):
    faults, ran = [], 0
    for kind in kinds.split(","):
        place = Path(folder) / kind
        place.mkdir()
        source, output, config = sound_files(kind, place, quick)
        commands = [words for words in COMMANDS[kind] if is_quick(words) or not quick]
        if not quick:
            warm_up(kind, commands, source, output, config, place)
        for seed in range(first, first + number):
            ran += len(commands)
            found = damaged(commands, source, output, config, place / f"seed{seed}", seed)
            faults += found
            if os.environ.get("MLRECO_VERBOSE"):
                sys.stderr.write("".join(f"{json.dumps(one)}\n" for one in found) + f"{kind} {seed} {len(faults)}\n")
    sys.stdout.write(json.dumps({"ran": ran, "faults": faults}) + "\n")


def damaged(commands, source, output, config, place, seed):
    """Return the faults of all commands on one damaged file."""
    faults = []
    place.mkdir()
    file = place / f"damaged{source.suffix}"
    damage(source, file, seed)
    for count, words in enumerate(commands):
        names = {"file": file, "new": place / f"new{count}", "output": output, "config": config}
        done = run([word.format(**names) for word in words], place)
        if done.fault:
            faults.append({"seed": seed, "command": words, "fault": done.fault, "text": done.text[-1500:]})
    shutil.rmtree(place)
    return faults


def warm_up(kind, commands, source, output, config, folder):
    """Run every command once on the sound file in this process, so that its children find all imported and loaded."""
    place = folder / "sound"
    place.mkdir()
    if kind == "output":  # beside itself a file is not merged
        source = Path(shutil.copy(source, place / f"copy{source.suffix}"))
    for count, words in enumerate(commands):
        names = {"file": source, "new": place / f"new{count}", "output": output, "config": config}
        has_nothing_to_do = words[0] == "train" and is_quick(words)
        expected = (0, 2) if kind in ("config", "thresholds", "log") else (2,) if has_nothing_to_do else (0,)
        status, text = here([word.format(**names) for word in words])
        assert status in expected, f"{words}: {text}"
    shutil.rmtree(place)


def here(words):
    """Run a command in this process; return its exit status and what it wrote."""
    from mlreco.cli import main

    written = io.StringIO()
    with redirect_stdout(written), redirect_stderr(written):
        return main(words), written.getvalue()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), "--quick" in sys.argv)
