"""A page on which networks learn: `manynets playground`.

setup.py      what is trained, as data: checked, and within limits
terms.py      products and powers of two inputs
options.py    the table of options for the page
files.py      tables that were dropped on the page
problem.py    from a setup to data and networks
plane.py      the plane that the page shows: two inputs, a slice of many, or two principal components
training.py   the engine in a thread: play, pause, step, another learning rate, epochs to go back to
curves.py     loss curves and weights of earlier epochs, in bounded memory
layers.py     the outputs of every layer
views.py      what the page shows of networks in training
frames.py     arrays as a message
code.py       the setup as Python: manynets and scikit-learn; torch_code.py for PyTorch, data_code.py for what they share
saving.py     a run folder, an animation
messages.py   messages of the page, checked
session.py    one page: its messages, and the frames that it gets
guard.py      who may ask
app.py        the routes, the start and the end
page/         the page
"""

from __future__ import annotations

from manynets.playground.options import require_playground

__all__ = ["require_playground"]
