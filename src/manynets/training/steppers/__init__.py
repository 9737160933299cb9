"""Three ways to make the steps of a training. Each file shows a whole step: forward, backward, update.

`autograd` is the reference, for any module; `closed_form` is for networks whose matrix products dominate; `compiled` for all others.
"""
