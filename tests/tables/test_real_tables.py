"""The published tables, from the raw file to a matrix."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from manynets.tables import TableEncoder, fit_encoder, match_labels, open_table, read_table, split_target, understand

# file, target, rows, kinds of some columns by initial, missing of some columns
TABLES: dict[str, tuple[str, str, int, dict[str, str], dict[str, int]]] = {
    "adult": (
        "adult/adult_train",
        "income",
        32561,
        {
            "age": "numeric",
            "fnlwgt": "numeric",
            "workclass": "categorical",
            "native-country": "categorical",
            "capital-gain": "numeric",
        },
        {"workclass": 0},
    ),
    "california_housing": (
        "california_housing/housing",
        "median_house_value",
        20640,
        {"ocean_proximity": "categorical", "total_bedrooms": "numeric", "housing_median_age": "numeric"},
        {"total_bedrooms": 207},
    ),
    "bank_marketing": (
        "bank_marketing/bank_full",
        "y",
        45211,
        {"job": "categorical", "month": "categorical", "day": "numeric", "balance": "numeric"},
        {},
    ),
    "diamonds": ("diamonds/diamonds", "price", 53940, {"cut": "categorical", "carat": "numeric", "y": "numeric"}, {}),
    "titanic": (
        "titanic/titanic",
        "Survived",
        891,
        {
            "PassengerId": "dropped",
            "Name": "text",
            "Ticket": "dropped",
            "Cabin": "categorical",
            "Age": "numeric",
            "Sex": "categorical",
            "Embarked": "categorical",
        },
        {"Age": 177, "Cabin": 687, "Embarked": 2},
    ),
    "telco_churn": (
        "telco_churn/Telco-Customer-Churn",
        "Churn",
        7043,
        {"customerID": "dropped", "TotalCharges": "numeric", "SeniorCitizen": "numeric", "Contract": "categorical"},
        {"TotalCharges": 11},
    ),
    "ames_housing": (
        "ames_housing/AmesHousing",
        "SalePrice",
        2930,
        {
            "Order": "dropped",
            "PID": "dropped",
            "MS SubClass": "categorical",
            "Lot Frontage": "numeric",
            "Alley": "categorical",
            "Garage Yr Blt": "numeric",
            "Year Built": "numeric",
        },
        {"Lot Frontage": 490, "Alley": 0, "Garage Yr Blt": 159},
    ),
    "penguins": (
        "penguins/penguins",
        "species",
        344,
        {"island": "categorical", "sex": "categorical", "body_mass_g": "numeric"},
        {"sex": 11, "body_mass_g": 2},
    ),
    "german_credit": ("german_credit/german", "class", 1000, {"purpose": "categorical", "duration": "numeric"}, {}),
    "wine_red": ("wine_quality/winequality_red", "quality", 1599, {"pH": "numeric", "alcohol": "numeric"}, {}),
    "wine_white": ("wine_quality/winequality_white", "quality", 4898, {"pH": "numeric", "density": "numeric"}, {}),
    "bike_sharing_hour": (
        "bike_sharing_hour/hour",
        "cnt",
        17379,
        {"instant": "dropped", "dteday": "date", "season": "numeric", "temp": "numeric"},
        {},
    ),
    "letter": ("letter/LetterRecognition", "lettr", 20000, {"x.box": "numeric", "yegvx": "numeric"}, {}),
    "covertype": (
        "covertype/covertype",
        "Cover_Type",
        150_000,
        {"Wilderness_Area": "categorical", "Elevation": "numeric", "Soil_Type": "numeric"},
        {},
    ),
    "abalone": ("abalone/abalone", "Rings", 4177, {"Sex": "categorical", "Length": "numeric"}, {}),
    "elevators": ("reg_elevators/elevators", "y", 16599, {"x1": "numeric", "x17": "numeric"}, {}),
}


@pytest.mark.parametrize("name", TABLES)
def test_from_the_raw_file_to_a_matrix(data_dir: Path, name: str) -> None:
    file, target, rows, kinds, missing = TABLES[name]
    features, y, weight = split_target(read_table(data_dir / f"{file}.csv.gz"), target)
    schema = understand(features)
    by_name = {column.name: column for column in schema}
    assert {column: by_name[column].kind for column in kinds} == kinds
    assert {column: by_name[column].missing for column in missing} == missing
    encoder = fit_encoder(features, schema=schema)
    matrix = encoder.transform(features, strict=True)
    assert matrix.shape == (rows, encoder.width)
    assert y.shape == (rows,)
    assert weight is None
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert np.isfinite(matrix).all()
    assert encoder.check(features) == []
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    assert again.transform(features).tobytes() == matrix.tobytes()
    for block, column in zip(encoder.blocks, encoder.columns, strict=True):
        part = matrix[:, block.slice]
        if block.kind == "categorical":
            assert (part.sum(axis=1) == 1.0).all(), block.name
        elif block.kind == "numeric":
            assert column.features[0] == block.name
            assert abs(float(part[:, 0].mean(dtype=np.float64))) < 0.2  # 0, but for the median in place of the gaps


# what looks like an id, and what is done with it once the target is known
LIKE_IDS = {
    "titanic": {"PassengerId": "dropped", "Name": "text", "Ticket": "categorical"},
    "telco_churn": {"customerID": "dropped"},
    "ames_housing": {"Order": "dropped", "PID": "numeric"},
    "bike_sharing_hour": {"instant": "numeric"},
}


@pytest.mark.parametrize("name", TABLES)
def test_what_the_target_changes(data_dir: Path, name: str) -> None:
    file, target, *_ = TABLES[name]
    features, y, _ = split_target(read_table(data_dir / f"{file}.csv.gz"), target)
    schema = understand(features, y=y)
    before = {column.name: column for column in understand(features)}
    changed = {column.name: column.kind for column in schema if column != before[column.name] or column.kind in ("dropped", "text")}
    assert changed == LIKE_IDS.get(name, {})
    assert not any(column.leak for column in schema)


def test_telco_total_charges_by_hand(data_dir: Path) -> None:
    features, _, _ = split_target(read_table(data_dir / "telco_churn/Telco-Customer-Churn.csv.gz"), "Churn")
    encoder = fit_encoder(features.select("TotalCharges", "tenure"))
    matrix = encoder.transform(features)
    values = features.get_column("TotalCharges").to_numpy()
    present = values[~np.isnan(values)]
    assert present.size == 7043 - 11
    assert encoder.feature_names == ("TotalCharges", "TotalCharges=missing", "tenure")
    expected = (np.where(np.isnan(values), np.median(present), values) - present.mean()) / present.std()
    np.testing.assert_allclose(matrix[:, 0], expected, rtol=0, atol=1e-6)
    assert matrix[:, 1].sum() == 11.0


def test_adults_test_file_has_the_same_columns_and_matched_labels(data_dir: Path) -> None:
    train, y, _ = split_target(read_table(data_dir / "adult/adult_train.csv.gz"), "income")
    test, y_test, _ = split_target(read_table(data_dir / "adult/adult_test.csv.gz"), "income")
    encoder = fit_encoder(train)
    assert encoder.check(test) == []
    assert encoder.transform(test).shape == (16281, encoder.width)
    assert sorted(set(y_test.tolist())) == ["<=50K.", ">50K."]
    matched, note = match_labels(y_test, np.unique(y))
    assert sorted(set(matched.tolist())) == ["<=50K", ">50K"]
    assert int((matched == ">50K").sum()) == 3846
    assert "point" in note


def test_wine_as_published_by_uci_with_semicolons(data_dir: Path, tmp_path: Path) -> None:
    comma = read_table(data_dir / "wine_quality/winequality_red.csv.gz")
    comma.write_csv(tmp_path / "wine.csv", separator=";", quote_style="non_numeric")
    assert read_table(tmp_path / "wine.csv").equals(comma)


def test_bike_dates_have_their_day_first(data_dir: Path) -> None:
    features, _, _ = split_target(read_table(data_dir / "bike_sharing_hour/hour.csv.gz"), "cnt")
    encoder = fit_encoder(features.select("dteday"))
    assert encoder.feature_names == (
        "dteday.year",
        "dteday.month",
        "dteday.month.sin",
        "dteday.month.cos",
        "dteday.day",
        "dteday.weekday",
        "dteday.weekday.sin",
        "dteday.weekday.cos",
    )
    month = features.get_column("mnth").to_numpy()
    matrix = encoder.transform(features)
    np.testing.assert_allclose(matrix[:, 1], (month - month.mean()) / month.std(), rtol=0, atol=1e-6)
    weekday = (features.get_column("weekday").to_numpy() - 1) % 7  # theirs begins on Sunday
    np.testing.assert_allclose(matrix[:, 6], np.sin(2 * np.pi * weekday / 7), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["titanic", "telco_churn", "ames_housing", "penguins", "wine_red", "bike_sharing_hour"])
def test_what_columns_are_on_all_rows_changes_nothing(data_dir: Path, name: str) -> None:
    file, target, *_ = TABLES[name]
    features, y, _ = split_target(read_table(data_dir / f"{file}.csv.gz"), target)
    rows = np.sort(np.random.default_rng(0).permutation(len(y))[: len(y) * 9 // 10])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that are left out
        some, seen = fit_encoder(open_table(features).take(rows)), fit_encoder(features, rows=rows)
    assert seen.columns == some.columns
    assert [column for column, _ in seen.dropped] == [column for column, _ in some.dropped]
