"""Whether the checkpoints that `train_many` resumes from are of the networks that it is to train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from manynets.display import listed
from manynets.errors import OptionError
from manynets.recorded import Recorded
from manynets.renames import renamed
from manynets.search.groups import FoldRows
from manynets.search.result import PlannedNetwork
from manynets.training.state import Digests, differences, identity_of

SHOWN = 5  # differences in a message


def check_recorded(networks: Mapping[int, PlannedNetwork], count: int, recorded: Recorded) -> None:
    """Raise OptionError where the recorded checkpoints are of other networks than those with the same numbers.

    count: number of networks, including those that could not be planned.
    """
    digest = Digests()
    for identity in map(renamed, recorded.identities):
        numbers = [int(number) for number in identity["networks"]]
        beyond = [number for number in numbers if number >= count]
        if beyond:
            found = [f"networks 0 to {count - 1}, in the checkpoint also {beyond[-1]}"]
        elif all(number in networks for number in numbers):
            members = [networks[number].member for number in numbers]
            found = differences(identity, identity_of(networks[numbers[0]].data.problem, members, digest))
        else:  # some cannot be trained now, such as for lack of memory
            continue
        if found:
            raise OptionError(
                f"{recorded.resume} holds checkpoints of another training: {listed(found, SHOWN, between='; ')}; give the same data,"
                " candidates, loss and cv, or another folder"
            )


def weightless_recorded(rows: FoldRows, seeds: Sequence[int], weights: NDArray[np.float64], recorded: Recorded) -> bool:
    """Return whether checkpoints recorded a network that trains on rows of weight 0, as version 0.1 had it for weights by candidate (C, N).

    seeds: of the candidates.
    """
    digest = Digests()
    for identity in recorded.identities:
        for number, network in identity.get("networks", {}).items():
            candidate, fold = divmod(int(number), len(rows.folds))
            if candidate < len(weights):
                train = rows.of(fold, seeds[candidate]).train
                weight = weights[candidate] if train is None else weights[candidate][train]
                if not weight.all() and network.get("rows") == digest(train):
                    return True
    return False
