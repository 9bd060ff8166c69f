"""Every command that reads a kind of file, and what it costs to run it on a damaged one."""

import faulthandler
import os
import resource
import signal
import sys
import traceback
from dataclasses import dataclass

SECONDS, BYTES, HOUR = 20, 2 << 30, 3600

TINY = ["--set", "iotool.num_workers=0"]
NAMES = ["--set", "trainval.weight_prefix={new}/w", "--set", "trainval.log_dir={new}"]
COMMANDS = {
    "larcv3": [
        ["info", "{file}"],
        ["info", "{file}", "--check"],
        ["convert", "{file}", "-o", "{new}.h5"],
        ["convert", "{file}", "--to", "cache", "-o", "{new}.h5"],
        ["inference", "thin", "-s", "{file}", "-o", "{new}.h5", *TINY],
        ["inference", "thin", "-s", "{file}", "-o", "{new}.h5", "--set", "iotool.on_error=skip", *TINY],
        ["train", "{config}", "-s", "{file}", "--iterations", "1", *NAMES, *TINY],
    ],
    "output": [
        ["info", "{file}"],
        ["info", "{file}", "--check"],
        ["evaluate", "{file}", "--json", "{new}.json", "--rows", "{new}.csv"],
        ["display", "{file}", "--event", "1", "-o", "{new}.html"],
        ["export", "{file}", "--csv", "{new}"],
        ["recluster", "{file}", "-o", "{new}.h5"],
        ["tune", "{file}", "-o", "{new}.yaml", "--events", "2"],
        ["report", "{file}", "-o", "{new}.html"],
        ["convert", "{file}", "-o", "{new}.h5"],
        ["merge", "{new}.h5", "{file}", "{output}", "--copy"],
        ["analyse", "{file}", "-o", "{new}"],
        ["inference", "thin", "-s", "{file}", "-o", "{new}.h5", *TINY],
    ],
    "log": [["log", "{file}", "-o", "{new}.html"], ["info", "{file}"]],
    "checkpoint": [
        ["info", "{file}"],
        ["info", "{file}", "--check"],
        ["inference", "{config}", "--weights", "{file}", "-o", "{new}.h5", *TINY],
        ["inference", "{file}", "-o", "{new}.h5", *TINY],
        ["train", "{config}", "--weights", "{file}", "--iterations", "1", *NAMES, *TINY],
        ["train", "{config}", "--resume", "{file}", "--iterations", "3", *NAMES, *TINY],
        ["train", "--resume", "{file}", "--iterations", "2", *NAMES, *TINY],
    ],
    "config": [
        ["inference", "{file}", "-o", "{new}.h5", *TINY],
        ["train", "{file}", "--iterations", "1", *NAMES, *TINY],
        ["recluster", "{output}", "-o", "{new}.h5", "--config", "{file}"],
        ["import-config", "{file}", "-o", "{new}.cfg"],
    ],
    "thresholds": [
        ["recluster", "{output}", "-o", "{new}.h5", "--thresholds", "{file}"],
        ["evaluate", "{output}", "--baselines", "greedy", "--thresholds", "{file}"],
        ["evaluate", "{output}", "--baselines", "dbscan", "--baseline-values", "{file}"],
    ],
    "list": [["info", "{file}"], ["convert", "{file}", "-o", "{new}.h5"]],
}
NETWORK = ("inference", "train")
"""Commands that need a network, and seconds."""


def is_quick(words):
    """Whether a command needs no network, or ends before it does, as a training of which nothing is left."""
    return words[0] not in NETWORK or ("--resume" in words and words[words.index("--iterations") + 1] == "2")


COMMANDS["cache"] = COMMANDS["larcv2"] = COMMANDS["larcv3"]
COMMANDS["pilarnet_m"] = [
    [*words, "--set", "model.class_scheme=mlreco"] if words[0] == "train" else words for words in COMMANDS["larcv3"]
]


@dataclass(frozen=True)
class Ran:
    """What a command did.

    Attributes:
        status: its exit status; minus the signal that ended it.
        seconds: of a processor that it used; one that only waits is ended after an hour.
        grown: bytes of memory that it needed beyond what it began with.
        text: what it wrote to the terminal.
    """

    status: int
    seconds: float
    grown: int
    text: str

    @property
    def fault(self):
        """What is wrong with it, nothing where it ended as it should."""
        if self.status not in (0, 2):
            return f"status {self.status}"
        if "Traceback" in self.text or "Warning" in self.text:
            return "a traceback or a warning"
        if self.status == 2 and len([line for line in self.text.splitlines() if "error:" in line]) != 1:
            return "no single line of an error"
        if self.seconds > SECONDS:
            return f"{self.seconds:.0f} s"
        return f"{self.grown / 1e9:.1f} GB" if self.grown > BYTES else ""


def resident():
    """Return the bytes of memory that this process has at present."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def run(words, folder):
    """Run a command in a child process of this one, which has imported everything.

    Args:
        words: the command.
        folder: where it works.
    """
    from mlreco.cli import main

    log = folder / "log.txt"
    before = resident()
    child = os.fork()
    if not child:
        status = 1
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(output, stream)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            os.chdir(folder)
            faulthandler.register(signal.SIGXCPU, chain=True)
            faulthandler.dump_traceback_later(HOUR, exit=True)  # of a clock: the machine may have much else to do
            resource.setrlimit(resource.RLIMIT_CPU, (10 * SECONDS, 11 * SECONDS))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            status = main(words)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    _, ended, used = os.wait4(child, 0)
    grown = max(0, used.ru_maxrss * 1024 - before)
    return Ran(os.waitstatus_to_exitcode(ended), used.ru_utime + used.ru_stime, grown, log.read_text(errors="replace"))
