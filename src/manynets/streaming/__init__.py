"""Training on a table larger than memory: described in a pass or two, then shown to the networks window by window.

open_stream: files -> a pass, and one more for means of large categories -> encoder, task, validation rows -> `TrainingData` whose rows are a stream
train_stream: from a stream to a Model
open_ensemble, train_stream_ensemble: the same for the default ensemble
"""

from manynets.streaming.columns import Columns, bytes_in_memory, files_of, files_to_stream, share_of, too_large
from manynets.streaming.ensemble import NETWORKS, open_ensemble, train_stream_ensemble
from manynets.streaming.opening import Stream, open_stream
from manynets.streaming.training import stream_members, train_stream

__all__ = [
    "NETWORKS", "Columns", "Stream", "bytes_in_memory", "files_of", "files_to_stream", "open_ensemble", "open_stream",
    "share_of", "stream_members", "too_large", "train_stream", "train_stream_ensemble",
]  # fmt: skip
