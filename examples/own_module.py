"""Train a torch module of your own: manynets adds the loop, validation, early stopping and the model file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import manynets as mn


class Residual(nn.Module):
    """A linear layer in, two residual blocks, a linear layer out. It returns raw scores, without a softmax."""

    def __init__(self, features: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Linear(features, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.last = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for block in self.blocks:
            h = h + torch.relu(block(h))
        return self.last(h)


data = mn.datasets.load("digits")
torch.manual_seed(0)  # the initial weights are the module's own
recipe = mn.Recipe(optimizer=mn.AdamW(lr=3e-3), epochs=20, stopping=mn.EarlyStopping(patience=5))
model = mn.train(data.X, data.y, Residual(64, 10), recipe, validation=0.2, progress=False)
print("Accuracy on the test rows:", round(model.evaluate(data.X_test, data.y_test)["accuracy"], 3))

# The file holds the weights, not the code of the class: give it a module to put them into.
path = Path(tempfile.mkdtemp()) / "residual.safetensors"
model.save(path)
again = mn.load(path, module=Residual(64, 10))
assert (again.predict(data.X_test) == model.predict(data.X_test)).all()
