"""T3: 2-10-1 with ReLU and a sigmoid, 40 training and 10 test points, blob 0 against the rest; SGD 0.01, 20 epochs.

The tutorial prints the test loss before and after training. After only twenty steps of SGD it has fallen, but not far.
"""

from __future__ import annotations

import manynets as mn
from manynets.nn.initial import initial_parameters
from manynets.studies.study import StudyResult, figure
from manynets.studies.together import pictures_of_seeds, train_seeds


def run(_: str, *, quick: bool) -> StudyResult:  # noqa: ARG001  (it is always quick)
    from sklearn.datasets import make_blobs

    X, blob = make_blobs(n_samples=50, n_features=2, cluster_std=1.5, random_state=0)
    y = (blob != 0).astype(int)  # the tutorial's labels: 0 for blob 0, 1 for the others
    X, y, X_test, y_test = X[:40], y[:40], X[40:], y[40:]

    spec, recipe = mn.MLP(hidden=(10,)), mn.Recipe(optimizer=mn.SGD(lr=0.01), epochs=20, batch_size=40, keep="last", device="cpu")
    models = train_seeds(X, y, spec, recipe, seeds=range(5))
    after = [model.evaluate(X_test, y_test)["loss"] for model in models]
    before = []
    for seed, model in enumerate(models):
        start = [initial_parameters(spec, 2, 1, seed=seed)]
        untrained = mn.Model(spec=spec, task=model.task, recipe=recipe, in_features=2, members=start, history={}, info={})
        before.append(untrained.evaluate(X_test, y_test)["loss"])

    title = "2-10-1 relu · sgd 0.01 · 20 epochs"
    pictures = pictures_of_seeds([model.history["loss"] for model in models], X, y, models[0], title=title, log=False)
    falls = sum(a < b for a, b in zip(after, before, strict=True))
    note = f"5 seeds; in {falls} of them the test loss falls ('published' is before training)"
    return StudyResult(
        figures=(figure("test loss, after training against before", after, published=sum(before) / len(before), better="lower"),),
        pictures=pictures,
        note=note,
    )
