"""Whether the checkpoints that `train_many` resumes from are of the networks that it is to train."""

from __future__ import annotations

import os

from manynets.errors import OptionError
from manynets.plan import Plan
from manynets.renames import renamed
from manynets.training.checkpoint import recorded_identities
from manynets.training.state import Digests, differences, identity_of

SHOWN = 5  # differences in a message


def check_recorded(plan: Plan, count: int, resume: str | os.PathLike[str]) -> None:
    """Raise OptionError where the checkpoints of a folder are of other networks than those with the same numbers in the plan.

    count: number of networks, including those that could not be planned.
    """
    digest = Digests()
    for identity in map(renamed, recorded_identities(resume)):
        numbers = [int(number) for number in identity["networks"]]
        beyond = [number for number in numbers if number >= count]
        if beyond:
            found = [f"networks 0 to {count - 1}, in the checkpoint also {beyond[-1]}"]
        elif all(number in plan.networks for number in numbers):
            members = [plan.networks[number].member for number in numbers]
            found = differences(identity, identity_of(plan.networks[numbers[0]].data.problem, members, digest))
        else:  # some cannot be trained now, such as for lack of memory
            continue
        if found:
            more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise OptionError(
                f"{os.fspath(resume)} holds checkpoints of another training: {'; '.join(found[:SHOWN])}{more}; give the same data,"
                " candidates and cv, or another folder"
            )
