"""Training. `steppers/autograd.py` shows what happens in a step: forward, backward, update. `loop.py` is the loop around the steps.

`steppers/` has two faster ways to make the same step. `trial.py` says what a network to train and its result are, `groups.py` finds
those that can share a loop. At an evaluation the loop uses `validation.py`, `history.py` and `best_weights.py`; between two steps
`checkpoint.py` and `state.py`; after a divergence `divergence.py`.
"""
