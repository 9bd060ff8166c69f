"""What is left out is counted once, whichever process meets it, and what is trained on in all of them."""

from dataclasses import dataclass

import pytest
import torch

from mlreco.iotools.skipped import SHOWN, WHOLE_FILE, Skipped
from mlreco.training.left_out import LeftOut


@dataclass
class Pair:
    """This process and another one, whose answers are given."""

    events: int
    others: list[Skipped]
    is_first: bool = True

    def sum(self, values):
        return values + torch.tensor([self.events, len(self.others)])

    def gathered(self, value):
        return [value, self.others]


def skipped(*entries, file="a.h5"):
    return [Skipped(file, entry, "broken") for entry in entries]


@pytest.mark.parametrize("is_first", [True, False])
def test_events_that_two_processes_meet_are_counted_once(capsys, is_first):
    file = Skipped("b.h5", WHOLE_FILE, "truncated")
    team = Pair(2, [file], is_first)
    left_out = LeftOut(team)
    assert left_out.collect([file, *skipped(3)], 3) == 5 and len(left_out) == 2
    team.others = skipped(3, 4)
    assert left_out.collect([file, *skipped(3)], 1) == 3 and len(left_out) == 3
    team.others, before = [], left_out.state()
    left_out.collect([file, *skipped(3)], 1)
    assert left_out.state() is before
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (3 if is_first else 0)
    again = LeftOut(team, before)
    again.collect([file], 2)
    assert len(again) == 3 and not capsys.readouterr().err


def test_beyond_a_few_only_the_number_is_told(capsys):
    left_out = LeftOut(Pair(0, []))
    left_out.collect(skipped(*range(SHOWN + 5)), 1)
    left_out.collect(skipped(*range(SHOWN + 9)), 1)
    assert len(left_out) == SHOWN + 9
    told = capsys.readouterr().err.splitlines()
    assert len(told) == SHOWN + 1 and "only counted" in told[-1]
