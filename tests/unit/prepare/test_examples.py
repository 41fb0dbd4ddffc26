"""The two example pipelines, from their real sources to datasets."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lastmile.artefacts.dataset import read_dataset, read_split
from lastmile.features.transform import Encoding, Transform
from lastmile.pipeline.load import load_pipeline
from lastmile.run import StageName, execute
from lastmile.settings import Settings

ROOT = Path(__file__).parents[3]


def prepared(name, make_context):
    pipeline = load_pipeline(name, Settings(root=ROOT))
    context = make_context(pipeline)
    record = execute(StageName.PREPARE, context)
    return record, context.store.open_artefact(record.artefact)


def roc_auc_of_a_plain_model(folder) -> float:
    """How well a logistic regression, fitted on train, ranks the test split."""
    cleaning = read_dataset(folder).read_cleaning()
    train, test = read_split(folder, "train"), read_split(folder, "test")
    transform = Transform(cleaning, Encoding.fit(cleaning(train.batch), len(cleaning.flags)))
    model = LogisticRegression(max_iter=2000).fit(transform.encode(train.batch), train.labels)
    scores = model.predict_proba(transform.encode(test.batch))[:, 1]
    return float(roc_auc_score(test.labels, scores))


def test_medical_diagnosis_is_the_real_data(make_context):
    _, folder = prepared("medical_diagnosis", make_context)
    dataset = read_dataset(folder)
    assert dataset.classes == ("benign", "malignant")
    assert sum(dataset.rows.values()) == 569
    splits = [read_split(folder, name) for name in ("train", "validation", "test")]
    assert sum(split.labels.sum() for split in splits) == 212  # malignant, as published
    assert len(dataset.read_cleaning().schema.numeric) == 30
    assert roc_auc_of_a_plain_model(folder) > 0.97


def generate(folder: Path) -> str:
    """Run the visible generator and return what it prints."""
    command = [sys.executable, ROOT / "include/pipelines/credit_risk.py", "--rows", "3000",
               "--seed", "11", "--database", f"sqlite:///{folder / 'loans.db'}",
               "--applications", folder / "applications.csv"]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, json.loads(generate(folder))["planted"]


@pytest.fixture
def planted(made, monkeypatch):
    """Point the pipeline at the generated data; return what was planted in it."""
    folder, planted = made
    monkeypatch.setenv("LASTMILE_CONNECTION_LOANS_DB", f"sqlite:///{folder / 'loans.db'}")
    monkeypatch.setenv("CREDIT_RISK_APPLICATIONS", str(folder / "applications.csv"))
    assert json.loads((folder / "applications.planted.json").read_text()) == planted
    return planted


def test_credit_risk_finds_the_noise_that_was_planted(planted, make_context, record_property):
    _, folder = prepared("credit_risk", make_context)
    report = json.loads((folder / "report.json").read_text())
    join, exact, by_key, text, contract, _, outliers, missing, label = report["steps"]
    assert join["joined"]["without_partner"] == join["joined"]["unused"] == 0
    found = {
        "exact_duplicates": exact["dropped"],
        "near_duplicates": by_key["dropped"],
        "purpose_spellings": text["changed"]["purpose"],
        "wrong_types": contract["quarantined"]["income: not a number"],
        "impossible_rows": contract["quarantined"]["employment_years: below 0"],
        "income_outliers": outliers["clipped"]["income"],
        "missing_income": missing["filled"]["income"],
        "missing_employment_years": missing["filled"]["employment_years"],
        "blank_labels": label["quarantined"]["defaulted: no label"],
    }
    income = next(column for column in report["columns"] if column["column"] == "income")
    assert income["before"]["wrong"] == planted["wrong_types"]
    record_property("found of planted", json.dumps({k: f"{found[k]}/{planted[k]}" for k in found}))
    assert found.keys() == planted.keys()
    # The richest honest customers lie beyond Tukey's fence too: a few more are clipped than planted.
    assert planted["income_outliers"] <= found["income_outliers"] <= planted["income_outliers"] + 15
    exactly = planted.keys() - {"income_outliers"}
    assert {kind: found[kind] for kind in exactly} == {kind: planted[kind] for kind in exactly}


def test_credit_risk_can_be_learnt_from_one_row_per_loan(planted, make_context):
    _, folder = prepared("credit_risk", make_context)
    keys = np.concatenate([read_split(folder, s).keys for s in ("train", "validation", "test")])
    assert len(set(keys)) == len(keys)
    assert 0.75 < roc_auc_of_a_plain_model(folder) < 0.92


def test_the_same_seed_makes_the_same_data(made, tmp_path):
    folder, planted = made
    assert json.loads(generate(tmp_path))["planted"] == planted
    name = "applications.csv"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
