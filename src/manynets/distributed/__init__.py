"""One training in several processes: the processes, what they send each other, and which of them has failed.

A process that torchrun started joins the others in `launch`; in a process group of the user's own there is nothing to do. `ranks` has
the sums over all processes, `gradient_sum` that of a large gradient, and `watch` notices a process that has died. What they do together is
in `manynets.training.team`.
"""

from manynets.distributed.environment import launched, neighbours, restarts, restarts_left
from manynets.distributed.gradient_sum import GradientSum
from manynets.distributed.launch import joined
from manynets.distributed.ranks import ALONE, Ranks, alone, current_ranks

__all__ = [
    "ALONE", "GradientSum", "Ranks", "alone", "current_ranks", "joined", "launched", "neighbours", "restarts", "restarts_left",
]  # fmt: skip
