"""One page: its messages, its training, and the frames that it is sent. The training ends with the page."""

from __future__ import annotations

import asyncio
import collections
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from manynets.errors import ManynetsError, OptionError
from manynets.playground.code import code_for
from manynets.playground.files import Files
from manynets.playground.messages import read_message
from manynets.playground.plane import Plane
from manynets.playground.problem import make_experiment
from manynets.playground.saving import animation, save_run
from manynets.playground.setup import PlaygroundSetup
from manynets.playground.training import LiveTraining
from manynets.playground.views import View, data_message, frame, probe_message
from manynets.runs import plain_json

LOG = logging.getLogger("manynets.playground")
FRAMES_PER_SECOND, IN_FLIGHT, SHARE = 30, 2, 0.5
"""How many frames a page gets, how many of them it may not have drawn yet, and the share of the time that computing them may take."""
MESSAGES_PER_SECOND, BURST, MOST_WAITING = 200, 400, 256
SETUP = '{"type":"setup"'
"""How a message with a setup begins."""
Send = Callable[[str | bytes], Awaitable[None]]


class PageGone(Exception):
    """The page was closed while something was sent to it."""


class PageSession:
    """One page with its training. send: sends text or bytes to the page."""

    def __init__(self, files: Files, send: Send) -> None:
        self._files, self._send = files, send
        self.training: LiveTraining | None = None
        self.view = View()
        self._plane: Plane | None = None
        self._number = self._seen = 0
        self._shown: tuple[int, View, Plane] | None = None
        self._lock = asyncio.Lock()
        self._inbox: collections.deque[str] = collections.deque()
        self._arrived, self.closed = asyncio.Event(), False
        self._budget, self._then = float(BURST), time.monotonic()

    # ------------------------------------------------------------------------------------------------------------- messages

    async def receive(self, text: str) -> None:
        """Do what a message asks for; where that is not possible, answer with the error."""
        try:
            message = read_message(text)
            async with self._lock:
                await getattr(self, f"_on_{message['type']}")(message)
        except ManynetsError as error:
            await self._say("error", message=str(error))
        except MemoryError:
            await self._say("error", message="there is not enough memory for this; use smaller layers or fewer networks")
        except OSError as error:
            await self._say("error", message=error.strerror or str(error))
        except PageGone:
            raise
        except Exception:  # the page's other messages can still be answered
            LOG.exception("a message failed")
            await self._say("error", message="the server failed; its log says why")

    async def put(self, text: str) -> None:
        """Queue a message for `work`; wait where messages come too fast."""
        now = time.monotonic()
        self._budget = min(BURST, self._budget + (now - self._then) * MESSAGES_PER_SECOND) - 1
        self._then = now
        if self._budget < 0:
            await asyncio.sleep(-self._budget / MESSAGES_PER_SECOND)
        while len(self._inbox) >= MOST_WAITING:
            await asyncio.sleep(0.02)
        self._inbox.append(text)
        self._arrived.set()

    async def work(self) -> None:
        """Do what the queued messages ask for, one after the other; of several setups only the last."""
        while not self.closed:
            await self._arrived.wait()
            self._arrived.clear()
            while self._inbox and not self.closed:
                text = self._inbox.popleft()
                if text.startswith(SETUP) and any(later.startswith(SETUP) for later in self._inbox):
                    continue
                try:
                    await self.receive(text)
                except PageGone:
                    return

    async def _on_setup(self, message: Mapping[str, Any]) -> None:
        setup = PlaygroundSetup.from_json(message["setup"])
        made = await asyncio.to_thread(make_experiment, setup, self._files)
        before, self.training = self.training, None
        if before is not None:
            before.close()
            await asyncio.to_thread(before.join, 10.0)
        training = await asyncio.to_thread(LiveTraining, made)
        if self.closed:
            training.close()
            return
        if training.sample.state == "failed":
            raise OptionError(training.sample.message)
        self._plane, self.view = made.plane, View(details=self.view.details, wall=self.view.wall)
        self.training, self._shown = training, None
        await self._send(await asyncio.to_thread(data_message, training, made.plane, more={"setup": setup.to_json()}))

    @property
    def _live(self) -> LiveTraining:
        if self.training is None:
            raise OptionError("there is no network yet; send a setup")
        return self.training

    async def _on_play(self, _: Mapping[str, Any]) -> None:
        self._live.play()

    async def _on_pause(self, _: Mapping[str, Any]) -> None:
        self._live.pause()

    async def _on_reset(self, _: Mapping[str, Any]) -> None:
        self._live.reset()

    async def _on_step(self, message: Mapping[str, Any]) -> None:
        self._live.advance(message["steps"])

    async def _on_epoch(self, _: Mapping[str, Any]) -> None:
        self._live.advance_epoch()

    async def _on_rate(self, message: Mapping[str, Any]) -> None:
        if len(self._live.experiment.members) > 1:
            raise OptionError("the learning rate of several networks cannot be changed while they are trained; send a setup")
        self._live.set_rate(float(message["lr"]))

    async def _on_view(self, message: Mapping[str, Any]) -> None:
        fields = {name: message[name] for name in ("network", "step", "details", "wall")}
        if fields["network"] >= len(self._live.experiment.members):
            raise OptionError(f"there is no network {fields['network']}")
        self.view = View(**fields)

    async def _on_sliders(self, message: Mapping[str, Any]) -> None:
        self._plane = await asyncio.to_thread(self._live.experiment.plane.at, message["values"])

    async def _on_seen(self, message: Mapping[str, Any]) -> None:
        self._seen = max(self._seen, min(message["frame"], self._number))

    async def _on_probe(self, message: Mapping[str, Any]) -> None:
        experiment = self._live.experiment
        if experiment.source.image_shape is None or len(message["pixels"]) != experiment.data.in_features:
            raise OptionError("drawn pixels are for a network that reads images of that size")
        await self._send(await asyncio.to_thread(probe_message, self._live, self.view, message["pixels"]))

    async def _on_code(self, message: Mapping[str, Any]) -> None:
        try:
            text, refused = await asyncio.to_thread(code_for, self._live, message["language"]), ""
        except OptionError as error:
            text, refused = "", str(error)
        await self._say("code", language=message["language"], text=text, refused=refused)

    async def _on_schema(self, message: Mapping[str, Any]) -> None:
        table = self._files.get(message["file"])
        about = await asyncio.to_thread(table.about, message["target"] or None)
        await self._say("schema", file=message["file"], about=about)

    async def _on_save(self, _: Mapping[str, Any]) -> None:
        folder = await asyncio.to_thread(save_run, self._live, self.view)
        await self._say("saved", folder=str(folder))

    async def _say(self, kind: str, **fields: Any) -> None:
        await self._send(json.dumps(plain_json({"type": kind, **fields}), allow_nan=False))

    async def picture(self) -> bytes:
        """Return the animation of the training so far. Errors: OptionError where there is none."""
        return await asyncio.to_thread(animation, self._live, self.view)

    # --------------------------------------------------------------------------------------------------------------- frames

    async def send_frames(self) -> None:
        """Send a frame whenever there is something new and the page has drawn the last but one."""
        due, failed = time.monotonic(), False
        while True:
            began = time.monotonic()
            try:
                await self.next_frame()
            except PageGone:
                return
            except Exception:  # for example, the training was replaced meanwhile; the next frame shows the new one
                LOG.log(logging.DEBUG if failed else logging.WARNING, "a frame failed", exc_info=True)
                failed = True
            now = time.monotonic()
            due = max(due + 1 / FRAMES_PER_SECOND, now + (now - began) * (1 - SHARE) / SHARE)
            await asyncio.sleep(max(due - now, 0.001))

    async def next_frame(self) -> None:
        training, view, plane = self.training, self.view, self._plane
        if training is None or plane is None or self._number - self._seen >= IN_FLIGHT:
            return
        now = (training.sample.version, view, plane)
        if now == self._shown:
            return
        made = await asyncio.to_thread(frame, training, view, plane, number=self._number + 1)
        if training is not self.training:
            return
        self._number, self._shown = self._number + 1, now
        await self._send(made)

    def close(self) -> None:
        """End the training, even one that is still being prepared."""
        self.closed = True
        self._inbox.clear()
        self._arrived.set()
        if self.training is not None:
            self.training.close()
            self.training = None
