"""Lightning in its barebones mode."""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

import lightning as L
import torch

from bench.cases import Case
from bench.data import Arrays
from bench.systems import Session
from bench.systems.networks import Slices, criterion_of, layers_of, network_of, optimizer_of, set_weights, target_of


class _Module(L.LightningModule):
    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case, self.network, self.criterion = case, network_of(case), criterion_of(case)
        self.began = self.ended = 0.0

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        x, y = batch
        loss: torch.Tensor = self.criterion(self.network(x), y)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self.case, self.network, fused=True)

    def on_train_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_end(self) -> None:
        self.ended = time.perf_counter()


def prepare(case: Case, arrays: Arrays) -> Session:
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    module = _Module(case)
    batches = Slices(torch.from_numpy(arrays.x), target_of(case, arrays), case.batch)

    def run(repeat: int) -> float:
        torch.manual_seed(0)
        set_weights(module.network, arrays.initial)
        L.Trainer(max_epochs=repeat, accelerator="cpu", devices=1, barebones=True).fit(module, batches)
        return module.ended - module.began

    return Session(run, layers=lambda: layers_of(module.network))
