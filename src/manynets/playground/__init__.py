"""A page on which networks learn: `manynets playground`.

A message of the page comes in at app.py, is queued by session.py, checked by messages.py, and acts on the thread of training.py. On the way
back, session.py looks for a new sample up to 30 times a second, views.py computes what the page shows of it, and frames.py packs that for
page/link.js, which hands it to page/main.js.

app.py        the routes, and starting the server; guard.py: who has access
session.py    one page: its messages, and the frames that it is sent
messages.py   the messages of the page, checked; setup.py: the one that says what to train, and its limits
problem.py    from a setup to data and networks; files.py: tables that were dropped on the page; terms.py: products and powers of two columns
plane.py      the plane that the page shows: two inputs, a slice of many, or two principal components
training.py   the training in a thread: play, pause, step, another learning rate
curves.py     loss curves and the weights of earlier epochs, in bounded memory
views.py      what the page shows of networks in training; layers.py: the outputs of every layer; frames.py: arrays as a message
code.py       the setup as Python: manynets and scikit-learn; torch_code.py for PyTorch, data_code.py for what they share
saving.py     a run folder, an animation
options.py    the table of options for the page
page/         the page
"""

from __future__ import annotations

from manynets.playground.options import require_playground

__all__ = ["require_playground"]
