"""Servers over small bundles."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from bundles import write_bundle, write_pointer
from lastmile.features.schema import Column, ColumnKind
from lastmile.features.steps import ContractStep, FillStep, TextStep
from lastmile.serve.app import create_app
from lastmile.serve.limits import Limits

LOAN_COLUMNS = (
    Column("age", ColumnKind.INTEGER, minimum=18, maximum=120),
    Column("income", ColumnKind.NUMBER, minimum=0),
    Column("employed", ColumnKind.BOOLEAN),
    Column("purpose", ColumnKind.CATEGORY, allowed=("car", "house")),
)
LOAN_STEPS = (ContractStep(), TextStep(("purpose",)), FillStep({"income": 100.0}))
LOAN = {"age": 40, "income": 50.5, "employed": True, "purpose": "car"}
"""Scores, with all weights 1 and a bias of -90: 40 + 50.5 + 1 + 1 - 90 = 2.5."""


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    return tmp_path / "pointer.json"


@pytest.fixture
def serve(tmp_path: Path, pointer: Path) -> Callable[..., FlaskClient]:
    """Serve a bundle made to order; keyword arguments go to `write_bundle`."""

    def start(limits: Limits | None = None, **bundle: Any) -> FlaskClient:
        write_pointer(pointer, write_bundle(tmp_path / "bundle", **bundle), version=3)
        app = create_app(pointer, limits, follow=False)
        return app.test_client()

    return start


@pytest.fixture
def loans(serve: Callable[..., FlaskClient]) -> FlaskClient:
    """A binary model over one column of each kind."""
    return serve(
        task="binary",
        columns=LOAN_COLUMNS,
        steps=LOAN_STEPS,
        vocabularies=(("car", "house"),),
        classes=("repaid", "defaulted"),
        bias=-90.0,
    )


@pytest.fixture
def iris(serve: Callable[..., FlaskClient]) -> FlaskClient:
    """A multiclass model whose scores are its two inputs and 0."""
    return serve(
        task="multiclass",
        columns=(Column("a", ColumnKind.NUMBER), Column("b", ColumnKind.NUMBER)),
        classes=("first", "second", "third"),
        weights=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    )


@pytest.fixture
def line(serve: Callable[..., FlaskClient]) -> FlaskClient:
    """A regression on one number: y = 2 x + 1."""
    return serve(weights=np.array([[2.0]]), bias=1.0)


@pytest.fixture
def post() -> Callable[..., tuple[int, Any]]:
    """Post a value as JSON, or bytes as they are; return status and JSON answer."""

    def send(client: FlaskClient, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.post(
            path,
            data=content,
            headers={"Content-Type": "application/json"}
            | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        return answer.status_code, json.loads(answer.data)

    return send
