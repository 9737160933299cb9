"""torch's process-wide settings during a run; afterwards the user's are restored."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from threading import Lock, RLock, get_ident

import torch
from torch import Tensor

from manynets.errors import OptionError
from manynets.spec import Precision

TWO = 2.0  # a variable, so that Python does not fold the division
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
CUBLAS_DETERMINISTIC = (":4096:8", ":16:8")  # sizes of its workspace with which its products have the same bits each time


def find_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "cuda:N"; one that is not there is an OptionError.

    Where torch's deterministic mode is on, CUBLAS_WORKSPACE_CONFIG is set before CUDA starts; once it has, that is an OptionError.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise OptionError(f"device is {name!r}, but torch finds {found} CUDA devices here; use device='cpu' or 'auto'")
    if device.type == "cuda" and torch.are_deterministic_algorithms_enabled():
        _make_cublas_deterministic()
    return device


def _make_cublas_deterministic() -> None:
    if os.environ.get(CUBLAS) in CUBLAS_DETERMINISTIC:
        return
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        os.environ[CUBLAS] = CUBLAS_DETERMINISTIC[0]
    elif not torch.is_deterministic_algorithms_warn_only_enabled():
        raise OptionError(
            f"{CUBLAS} is {os.environ.get(CUBLAS)!r}, but torch.use_deterministic_algorithms is on and needs it to be "
            f"{' or '.join(CUBLAS_DETERMINISTIC)} before CUDA starts, which it has; set it in the environment of the process"
        )


class _Precisions:
    """The precision of products, which torch has one of for all threads of a process, while several threads train.

    The highest that is asked for holds: of each thread the innermost counts. The user's own is back once nobody asks.
    """

    def __init__(self) -> None:
        self._lock, self._asked, self._before = Lock(), dict[object, tuple[int, Precision]](), ""

    @contextmanager
    def asked(self, precision: Precision) -> Iterator[None]:
        """Within: at least this precision."""
        key = object()
        with self._lock:
            if not self._asked:
                self._before = torch.get_float32_matmul_precision()
            self._asked[key] = get_ident(), precision
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                del self._asked[key]
                self._apply()

    def _apply(self) -> None:
        lowest = all(found == "tf32" for found in dict(self._asked.values()).values())  # the last of each thread
        torch.set_float32_matmul_precision(("high" if lowest else "highest") if self._asked else self._before)


_PRECISIONS = _Precisions()


@contextmanager
def torch_settings(*, threads: int = 1, precision: Precision = "full") -> Iterator[None]:
    """Within: at most so many threads, numbers too small for their type's full precision count as 0 (a processor takes a hundred
    times as long for those, which squares of small gradients are), and the precision asked for; after: all as before.

    Several threads may be within at once: torch has threads and denormal numbers by thread; for the precision see `_Precisions`.
    """
    before, flushed = torch.get_num_threads(), sys.float_info.min / TWO == 0.0  # whether denormal numbers are 0 to this thread
    try:
        torch.set_flush_denormal(True)
        if threads < before:
            torch.set_num_threads(threads)
        with _PRECISIONS.asked(precision):
            yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
        torch.set_flush_denormal(flushed)


@contextmanager
def torch_modes(device: torch.device, *, autograd: bool) -> Iterator[None]:
    """Within: training's own precision, not autocast; and inference mode, in which each call of torch costs less, unless autograd
    has to work. Whatever the caller is in.

    On CUDA there is no inference mode: torch's generator gets tensors with the first graph that is captured, and if those were
    inference tensors, the user could not capture a graph of their own outside of that mode.
    """
    plain = autograd or device.type == "cuda"
    with ExitStack() as modes:
        if torch.is_inference_mode_enabled() == plain:
            modes.enter_context(torch.inference_mode(not plain))
        if torch.is_autocast_enabled(device.type):
            modes.enter_context(torch.autocast(device.type, enabled=False))
        yield


def seeded_states(seed: int, device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators after this seed: "cpu", and "cuda" where the device is one."""
    states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
    if device.type == "cuda":
        states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()
    return states


_TURNS = [RLock()]  # for torch's generators, which all threads have in common
if hasattr(os, "register_at_fork"):  # a thread that held it does not live on in a forked child
    os.register_at_fork(after_in_child=lambda: _TURNS.__setitem__(0, RLock()))


@contextmanager
def private_generators(states: dict[str, Tensor], device: torch.device, *, in_turns: bool = True) -> Iterator[None]:
    """Within: torch's global generators are in these states (a user's module may draw from them), which move on; after: as before.

    in_turns: threads that train modules at the same time take turns; not ranks, which wait for each other within.
    """
    cuda = device.type == "cuda"
    with _TURNS[0] if in_turns else nullcontext(), torch.random.fork_rng(devices=[device.index or 0] if cuda else []):
        torch.set_rng_state(states["cpu"])
        if cuda:
            torch.cuda.set_rng_state(states["cuda"], device)
        yield
        states["cpu"] = torch.get_rng_state()
        if cuda:
            states["cuda"] = torch.cuda.get_rng_state(device)
