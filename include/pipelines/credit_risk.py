"""Make the data of `credit_risk`: a database of customers and loans, a CSV of applications, and noise.

    python include/pipelines/credit_risk.py --database sqlite:///.lastmile/examples/loans.db \
        --applications .lastmile/examples/applications.csv --rows 4000 --seed 7

The same seed makes the same data. What was spoiled, and how often, goes to stdout as JSON and, beside
the CSV, into `<name>.planted.json`, so that a test can say how much of it the cleaning found.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

PURPOSES = ("car", "house", "study", "business", "other")
PURPOSE_RISK = {"car": 0.0, "house": -0.4, "study": 0.3, "business": 0.7, "other": 0.4}
REGIONS = ("north", "east", "south", "west")
SPELLINGS = {0: ("N", "no", "No ", "n"), 1: ("Y", "yes", "YES", " y")}

SHARES = {
    "exact_duplicates": 0.015,
    "near_duplicates": 0.01,
    "missing_income": 0.04,
    "missing_employment_years": 0.03,
    "income_outliers": 0.01,
    "purpose_spellings": 0.05,
    "wrong_types": 0.005,
    "impossible_rows": 0.005,
    "blank_labels": 0.006,
}
"""How much of each kind of noise, as a share of the clean rows."""


@dataclass(frozen=True)
class Made:
    """The three tables, and what was planted: rows (or, where it says so, values) by kind."""

    customers: "DataFrame"
    loans: "DataFrame"
    applications: "DataFrame"
    planted: dict[str, int]


def make(rows: int, seed: int) -> Made:
    """Make the tables with `rows` loans before the noise."""
    random = np.random.default_rng(seed)
    customers, loans, applications = _clean_tables(rows, random)
    applications, planted = _spoil(applications, random)
    return Made(customers, loans, applications, planted)


def _clean_tables(
    rows: int, random: np.random.Generator
) -> tuple["DataFrame", "DataFrame", "DataFrame"]:
    import pandas as pd

    age = random.integers(19, 75, rows)
    income = np.round(random.lognormal(10.3, 0.45, rows), 2)
    employment = np.minimum(random.gamma(2.0, 4.0, rows), age - 18.0).round(1)
    amount = np.round(income * random.uniform(0.05, 1.2, rows), 2)
    term = random.choice([12, 24, 36, 48, 60], rows)
    late_payments = random.poisson(0.6, rows)
    purpose = random.choice(PURPOSES, rows, p=[0.35, 0.25, 0.15, 0.15, 0.1])
    has_guarantor = random.random(rows) < 0.25
    # The odds of default (log) rise with debt, late payments and risky purposes, and fall with
    # tenure and a guarantor. Chosen so that no model gets beyond a ROC AUC of about 0.85.
    odds = (
        -1.4
        + 3.0 * (amount / income - 0.6)
        + 1.2 * late_payments
        - 0.13 * employment
        - 0.03 * (age - 45)
        - 1.0 * has_guarantor
        + 1.5 * np.array([PURPOSE_RISK[p] for p in purpose])
    )
    defaulted = random.random(rows) < 1 / (1 + np.exp(-odds))
    customer_id = np.arange(1, rows + 1)
    loan_id = 100_000 + customer_id
    customers = pd.DataFrame(
        {
            "customer_id": customer_id,
            "age": age,
            "region": random.choice(REGIONS, rows),
            "late_payments": late_payments,
        }
    )
    loans = pd.DataFrame(
        {"loan_id": loan_id, "customer_id": customer_id, "amount": amount, "term_months": term}
    )
    applications = pd.DataFrame(
        {
            "loan_id": loan_id.astype(str),
            "income": [f"{value:.2f}" for value in income],
            "employment_years": [f"{value:.1f}" for value in employment],
            "purpose": purpose,
            "has_guarantor": np.where(has_guarantor, "true", "false"),
            "updated_at": _moments(rows, random),
            "defaulted": [random.choice(SPELLINGS[int(value)]) for value in defaulted],
        }
    )
    return customers, loans, applications


def _moments(rows: int, random: np.random.Generator) -> list[str]:
    import pandas as pd

    start = pd.Timestamp("2025-01-01")
    minutes = random.integers(0, 600 * 24 * 60, rows)
    return [str((start + pd.Timedelta(minutes=int(m))).isoformat()) for m in minutes]


def _spoil(
    applications: "DataFrame", random: np.random.Generator
) -> tuple["DataFrame", dict[str, int]]:
    """Plant noise; every row gets at most one kind, so that each can be counted on its own."""
    import pandas as pd

    rows = applications.copy()
    untouched = list(random.permutation(len(rows)))
    planted: dict[str, int] = {}

    def take(kind: str) -> Any:
        count = max(1, round(SHARES[kind] * len(rows)))
        chosen = [untouched.pop() for _ in range(count)]
        planted[kind] = count
        return rows.index[chosen]

    rows.loc[take("missing_income"), "income"] = ""
    rows.loc[take("missing_employment_years"), "employment_years"] = ""
    at = take("income_outliers")
    rows.loc[at, "income"] = [f"{v:.2f}" for v in random.uniform(5e5, 5e6, len(at))]
    at = take("purpose_spellings")
    rows.loc[at, "purpose"] = [random.choice([f" {p.upper()}", f"{p.title()}  ", p.upper()])
                               for p in rows.loc[at, "purpose"]]  # fmt: skip
    at = take("wrong_types")
    rows.loc[at, "income"] = random.choice(["unknown", "n/a", "12.000,50", "#REF!"], len(at))
    at = take("impossible_rows")
    rows.loc[at, "employment_years"] = [f"{v:.1f}" for v in random.uniform(-40, -1, len(at))]
    rows.loc[take("blank_labels"), "defaulted"] = ""
    exact = rows.loc[take("exact_duplicates")]
    near = rows.loc[take("near_duplicates")].copy()
    # The same loan again, older and with another income: the newer one is right.
    near["income"] = [f"{float(v) * 0.9:.2f}" for v in near["income"]]
    near["updated_at"] = "2024-06-01T00:00:00"
    together = pd.concat([rows, exact, near], ignore_index=True)
    order = random.permutation(len(together))
    return together.iloc[order].reset_index(drop=True), planted


def write(made: Made, database: str, applications: Path) -> None:
    """Write the tables, replacing earlier ones, and what was planted."""
    import sqlalchemy as sa

    applications.parent.mkdir(parents=True, exist_ok=True)
    url = sa.make_url(database)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        made.customers.to_sql("customers", connection, index=False, if_exists="replace")
        made.loans.to_sql("loans", connection, index=False, if_exists="replace")
    part = applications.with_name(f".{applications.name}.part")
    made.applications.to_csv(part, index=False)
    part.replace(applications)
    applications.with_suffix(".planted.json").write_text(json.dumps(made.planted, indent=1))


def main() -> None:
    """Make the data from the command line."""
    parser = argparse.ArgumentParser(description="Make the example data of credit_risk.")
    parser.add_argument("--database", default="sqlite:///.lastmile/examples/loans.db",
                        help="SQLAlchemy URL; tables customers and loans are replaced")  # fmt: skip
    parser.add_argument("--applications", type=Path,
                        default=Path(".lastmile/examples/applications.csv"))  # fmt: skip
    parser.add_argument("--rows", type=int, default=4000, help="loans before the noise")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if given.rows < 200:
        parser.error("--rows: at least 200, or some kinds of noise would not occur")
    made = make(given.rows, given.seed)
    write(made, given.database, given.applications)
    json.dump({"rows": len(made.applications), "planted": made.planted}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
