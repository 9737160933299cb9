"""Groups, times and strata reach every split of a search, and rows on both sides of one are reported once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas
import polars
import pytest
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import manynets as mn
from manynets.search import fits
from manynets.search.candidates import plan_candidates

RANDOM = np.random.default_rng(0)
GROUPS = np.arange(120) // 5
SEEN = RANDOM.normal(size=(24, 20))[GROUPS]  # tells the group
X = SEEN + 0.01 * RANDOM.normal(size=(120, 20))
Y = RANDOM.permutation(24)[GROUPS] % 2  # the same within a group, by chance among them
NET = mn.MLPClassifier(16, max_iter=40, random_state=0, learning_rate_init=0.03, early_stopping=True, validation_fraction=0.3)
TRY = (mn.MLP(hidden=(4,)), mn.Recipe(epochs=2))

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_an_estimator_stops_by_groups_that_it_does_not_know() -> None:
    alone = NET.fit(X, Y).best_validation_score_
    together = NET.fit(X, Y, groups=[f"g{group}" for group in GROUPS]).best_validation_score_
    assert alone > 0.95 > 0.8 > together
    with pytest.raises(mn.DataError, match=r"groups has the same value, 0.0, in all rows"):
        NET.fit(X, Y, groups=np.zeros(120))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        NET.fit(X, Y, groups=GROUPS[1:])
    with pytest.raises(mn.OptionError, match="X_val is a validation set of your own"):
        NET.fit(X, Y, groups=GROUPS, X_val=X, y_val=Y)


def test_an_ensemble_keeps_groups_in_one_fold() -> None:
    model = mn.TabularClassifier(preset="fast", n_networks=4, random_state=0)
    alone = (model.fit(X, Y).oof_prediction_.argmax(axis=1) == Y).mean()
    together = (model.fit(X, Y, groups=GROUPS).oof_prediction_.argmax(axis=1) == Y).mean()
    assert alone > 0.95 > 0.8 > together
    few = mn.TabularRegressor(preset="fast", n_networks=4, random_state=0).fit(X, X[:, 0], groups=GROUPS // 12)
    assert np.isfinite(few.oof_prediction_).all()
    assert few.model_.size == 4
    with pytest.raises(mn.OptionError, match="X_val is a validation set of your own"):
        model.fit(X, Y, groups=GROUPS, X_val=X, y_val=Y)


@pytest.mark.parametrize("frame", [polars.DataFrame, pandas.DataFrame])
def test_an_ensemble_takes_the_column_of_the_groups_by_its_name(frame: Any) -> None:
    table = {"group": [f"g{group}" for group in GROUPS], "a": X[:, 0], "b": X[:, 1]}
    model = mn.TabularClassifier(preset="fast", n_networks=2, random_state=0)
    named = model.fit(frame(table), Y, groups="group").oof_prediction_
    assert model.encoder_.column_names == ("a", "b")
    assert model.predict(frame(table)).shape == (120,)
    del table["group"]
    np.testing.assert_array_equal(named, model.fit(frame(table), Y, groups=GROUPS.astype(str)).oof_prediction_)


def test_other_estimators_and_a_search_take_values_only() -> None:
    table = polars.DataFrame({"group": GROUPS, "a": X[:, 0]})
    for estimator in (NET, mn.MLPSearchCV(NET, {"alpha": [0.1]}, cv=GroupKFold(2))):
        with pytest.raises(mn.DataError, match=r"groups is 'group', but must be one value for each row; give X\['group'\]"):
            estimator.fit(table, Y, groups="group")


@pytest.mark.parametrize("scaled", [False, True])
def test_a_search_keeps_groups_together_within_each_fold(scaled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    splits: list[Any] = []
    train = fits.train_in_processes

    def seen(problem: Any, members: Any, **more: Any) -> Any:
        splits.extend(members)
        return train(problem, members, **more)

    monkeypatch.setattr(fits, "train_in_processes", seen)
    net: Any = make_pipeline(StandardScaler(), NET) if scaled else NET
    grid = {"mlpclassifier__alpha" if scaled else "alpha": [0.0, 0.1]}
    search = mn.MLPSearchCV(net, grid, cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
    assert len(splits) == 6
    for member in splits:
        assert len(member.validation_rows) % 5 == 0
        assert scaled or not set(GROUPS[member.rows]) & set(GROUPS[member.validation_rows])
    folds = GroupKFold(3).split(X, Y, GROUPS)
    for fold, (rows, test) in enumerate(folds):
        more = {"mlpclassifier__groups" if scaled else "groups": GROUPS[rows]}
        score = net.fit(X[rows], Y[rows], **more).score(X[test], Y[test])
        assert search.cv_results_[f"split{fold}_test_score"][0] == pytest.approx(score, abs=1e-12)


def test_fits_one_by_one_get_the_groups_too() -> None:
    grid = {"alpha": [0.0]}
    together = mn.MLPSearchCV(NET, grid, cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
    watched = mn.MLPClassifier(**NET.get_params() | {"callbacks": [lambda event: None]})
    alone = mn.MLPSearchCV(watched, grid, cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
    assert alone.cv_results_["mean_test_score"] == pytest.approx(together.cv_results_["mean_test_score"], abs=1e-12)
    ensemble = mn.TabularClassifier(preset="fast", random_state=0)
    search = mn.MLPSearchCV(ensemble, {"n_networks": [2]}, cv=GroupKFold(2)).fit(X, Y, groups=GROUPS)
    again = ensemble.set_params(n_networks=2).fit(X, Y, groups=GROUPS)
    np.testing.assert_array_equal(search.best_estimator_.oof_prediction_, again.oof_prediction_)
    assert together.best_estimator_.best_validation_score_ == alone.best_estimator_.best_validation_score_ < 0.8


@pytest.mark.parametrize("cv", [None, 3, GroupKFold(3)])
def test_train_many_keeps_groups_together(cv: Any) -> None:
    plan = plan_candidates(X, Y, [TRY], cv=cv, groups=GROUPS, validation=0.3, scaling=False)
    members = [member for group in plan.groups for member in group.members]
    assert len(members) == (1 if cv is None else 3)
    for member, fold in zip(members, plan.folds, strict=True):
        parts = [set(GROUPS[rows]) for rows in (member.rows, member.validation_rows, fold.held_out) if rows is not None]
        assert len(set().union(*parts)) == sum(map(len, parts)) == 24


def test_train_many_by_time_and_by_strata() -> None:
    times = RANDOM.permutation(120)
    plan = plan_candidates(X, Y, [TRY], cv=3, times=times, validation=0.25, scaling=False)
    [group] = plan.groups
    for member, fold in zip(group.members, plan.folds, strict=True):
        assert times[member.rows].max() < times[member.validation_rows].min()
        assert times[member.validation_rows].max() < times[fold.held_out].min()
    strata = np.array(["a", "b", "c"])[np.arange(120) % 3]
    [group] = plan_candidates(X, Y, [TRY], stratify=strata, validation=0.2, scaling=False).groups
    assert np.unique(strata[group.members[0].validation_rows], return_counts=True)[1].tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": GROUPS}, "groups says how to split the rows, which needs a number of folds as cv"),
        ({"times": GROUPS, "cv": GroupKFold(3)}, "times says how to split the rows"),
        ({"stratify": GROUPS, "validation": (X, Y)}, "stratify says how to split the rows"),
        ({"groups": GROUPS, "times": GROUPS, "cv": 3}, "by times and by groups"),
        ({"groups": GROUPS[1:], "validation": 0.2}, r"groups has shape \(119,\)"),
    ],
)
def test_columns_that_no_split_asks_for(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mn.train_many(X, Y, [TRY], scaling=False, progress=False, **options)


# ------------------------------------------------------------------------------------------------- rows on both sides

TWICE = np.concatenate([X, X])
TWICE_Y = np.concatenate([Y, Y])
PARTS = [(np.arange(100), np.arange(100, 240)), (np.arange(100, 240), np.arange(100))]


def leaks(call: Any) -> list[str]:
    """Return the texts of the LeakWarnings of a call, which must point at this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    found = [warning for warning in caught if warning.category is mn.LeakWarning]
    assert all(warning.filename == __file__ for warning in found)
    return [str(warning.message).partition(" are identical")[0] for warning in found]


def test_train_reports_rows_on_both_sides() -> None:
    def train(*more: Any, **options: Any) -> Any:
        return mn.train(TWICE, TWICE_Y, *more, progress=False, **options)

    assert leaks(lambda: train(*TRY, validation=np.arange(100, 240))) == ["100 of 140 validation rows"]
    assert leaks(lambda: train(*TRY, validation=(np.concatenate([X[:7], X[:9] + 1]), Y[:16]))) == ["7 of 16 validation rows"]
    assert leaks(lambda: train(*TRY, validation=0.25, groups=np.tile(GROUPS, 2))) == []
    assert leaks(lambda: train(*TRY)) == []
    other = np.concatenate([Y, 1 - Y])
    assert leaks(lambda: mn.train(TWICE, other, *TRY, validation=np.arange(100, 240), scaling=False, progress=False)) == []
    [text] = leaks(lambda: train(*TRY, validation="folds", n_networks=3))
    assert text.endswith(" of 240 validation rows")
    assert leaks(lambda: train(n_networks=2)) == [text] or int(text.split()[0]) > 0
    frame = polars.DataFrame({"a": TWICE[:, 0], "b": ["x", "y"] * 120})
    assert leaks(lambda: mn.train(frame, TWICE_Y, *TRY, validation=np.arange(120, 240), progress=False)) == [
        "120 of 120 validation rows"
    ]


def test_train_many_reports_rows_on_both_sides() -> None:
    def train(**options: Any) -> Any:
        return mn.train_many(TWICE, TWICE_Y, [TRY, TRY], scaling=False, progress=False, **options)

    assert leaks(lambda: train(cv=PARTS)) == ["200 of 240 held-out rows"]
    assert leaks(lambda: train(validation=0.5, groups=np.repeat([0, 1], 120))) == ["120 of 120 held-out rows"]
    assert leaks(lambda: train(cv=3, groups=np.tile(GROUPS, 2), validation=0.2)) == []
    frame = polars.DataFrame({"a": TWICE[:, 0], "b": ["x", "y"] * 120})
    assert leaks(lambda: mn.train_many(frame, TWICE_Y, [TRY], cv=PARTS, progress=False)) == ["200 of 240 held-out rows"]


@pytest.mark.parametrize("kind", ["array", "lists", "pandas", "polars"])
def test_a_search_reports_rows_on_both_sides_once(kind: str) -> None:
    names = [f"x{j}" for j in range(20)]
    frames = {"pandas": pandas.DataFrame(TWICE, columns=names), "polars": polars.DataFrame(TWICE, schema=names)}
    table: Any = ({"array": TWICE, "lists": TWICE.tolist()} | frames)[kind]
    net = mn.MLPClassifier(4, max_iter=2, random_state=0)
    assert leaks(lambda: mn.MLPSearchCV(net, {"alpha": [0.0, 1.0]}, cv=PARTS).fit(table, TWICE_Y)) == ["200 of 240 test rows"]
    masks = [tuple(np.isin(np.arange(240), rows) for rows in split) for split in PARTS]
    assert leaks(lambda: mn.MLPSearchCV(net, {"alpha": [0.0, 1.0]}, cv=masks).fit(table, TWICE_Y)) == ["200 of 240 test rows"]


def test_estimators_are_as_quiet_as_those_of_scikit_learn() -> None:
    assert leaks(lambda: NET.fit(TWICE, TWICE_Y)) == []
    assert leaks(lambda: NET.fit(TWICE, TWICE_Y, X_val=X, y_val=Y)) == []
    assert leaks(lambda: cross_val_score(NET, TWICE, TWICE_Y, cv=PARTS)) == []
    assert leaks(lambda: mn.TabularClassifier(preset="fast", n_networks=2, random_state=0).fit(TWICE, TWICE_Y)) == []


# ------------------------------------------------------------------------------------------------- once, not once a fold


def test_a_warning_is_given_once_by_a_search_and_by_cross_validation() -> None:
    far = X * np.where(np.arange(20) == 3, 1e5, 1.0)
    copied = polars.DataFrame({"a": X[:, 0], "copy": [f"class {label}" for label in Y]})
    net = mn.MLPClassifier(4, max_iter=2, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mn.MLPSearchCV(net, {"alpha": [0.0, 1.0]}, cv=3).fit(copied, Y)
        mn.MLPSearchCV(net, {"callbacks": [[lambda event: None]]}, cv=3).fit(far, Y)
    assert [warning.category for warning in caught].count(mn.LeakWarning) == 1
    assert [warning.category for warning in caught].count(mn.DataScaleWarning) == 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        cross_val_score(net, far, Y, cv=3)
        cross_val_score(net, copied, Y, cv=3)
    assert [warning.category for warning in caught].count(mn.LeakWarning) == 1
    assert [warning.category for warning in caught].count(mn.DataScaleWarning) == 1
    assert {warning.filename for warning in caught} == {__file__}
