"""Training. `AutogradNetwork.step` in `steppers/autograd.py` is a step: forward, backward, update. `loop.py` is the loop around the steps.

`steppers/` has two faster ways to make the same step, and `choice.py` there chooses one. `trial.py` says what a network to train and its
result are, `groups.py` finds those that can share a loop. At an evaluation the loop uses `validation.py`, `history.py` and `best_weights.py`;
between two calls of a stepper `checkpoint.py`, `state.py` and `signals.py`; after a divergence `divergence.py`. Those who watch get
`events.py`. `module.py` is for a user's own module, `threads.py` and `torch_settings.py` for what torch has
once in a process, `team.py` is for training in several processes, and `other_engines.py` for NumPy, JAX and Keras.
"""
