"""What the checkpoints that a training resumes from recorded of it: one that version 0.1 began goes on as it did there."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from manynets.data.check import as_matrix
from manynets.data.tensors import to_tensor
from manynets.tasks import Task
from manynets.training.checkpoint import recorded_identities
from manynets.training.state import Digests


class Recorded:
    """The records of the checkpoints in a folder, or of one of them; none for `resume` None. They are read when they are first asked for."""

    def __init__(self, resume: str | os.PathLike[str] | None) -> None:
        self.resume = resume

    @functools.cached_property
    def identities(self) -> list[Mapping[str, Any]]:
        """What `identity_of` returned for each checkpoint."""
        return [] if self.resume is None else recorded_identities(self.resume)

    def has_array(self, X: Any) -> bool:
        """Return whether the array X (N, D) is recorded as it is: before 0.2.0, columns were not scaled."""
        data = (identity.get("data") for identity in self.identities)
        known = {one.get("X") for one in data if isinstance(one, Mapping)}
        if not known:
            return False
        matrix = as_matrix(X, gaps=True)
        cast = (to_tensor(matrix, device=torch.device("cpu"), dtype=dtype) for dtype in (torch.float32, torch.float64))
        return any(Digests()(one) in known for one in cast)

    def has_task(self, task: Task) -> bool:
        """Return whether a task is recorded: version 0.1 standardised a regression target by all rows, not those that were trained on."""
        return any(identity.get("task") == task.to_json() for identity in self.identities)

    def has_rows(self, rows: NDArray[Any] | None) -> bool:
        """Return whether a network is recorded that trains on these very rows (None: on all): version 0.1 did so on rows of weight 0."""
        if not self.identities:
            return False
        wanted = Digests()(rows)
        return any(
            network.get("rows") == wanted for identity in self.identities for network in identity.get("networks", {}).values()
        )
