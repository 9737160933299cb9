"""Training. `steppers/autograd.py` shows what happens in a step: forward, backward, update. `loop.py` is the loop around the steps.

`steppers/` has two faster ways to make the same step; `best.py`, `tracking.py` and `validation.py` serve the loop at evaluations,
`checkpoint.py` and `state.py` between two steps; `many.py` groups networks that can share a loop.
"""
