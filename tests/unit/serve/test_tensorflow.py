from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

Post = Callable[..., tuple[int, Any]]
LOAN = {"age": 40, "income": 50.5, "employed": True, "purpose": "car"}
COLUMNS = {name: [value] for name, value in LOAN.items()}


def test_rows_are_answered_in_rows(loans: FlaskClient, post: Post) -> None:
    for path in ("/v1/models/toy:predict", "/v1/models/toy/versions/3:predict"):
        status, answer = post(
            loans, path, {"signature_name": "serving_default", "instances": [LOAN]}
        )
        assert status == 200
        assert answer["predictions"][0].keys() == {"label", "probability"}


def test_columns_are_answered_in_columns(loans: FlaskClient, post: Post) -> None:
    status, answer = post(loans, "/v1/models/toy:predict", {"inputs": COLUMNS})
    assert status == 200
    assert answer["outputs"]["label"] == ["defaulted"]


def test_one_input_and_one_output_need_no_names(line: FlaskClient, post: Post) -> None:
    path = "/v1/models/toy:predict"
    assert post(line, path, {"instances": [1, 2]})[1] == {"predictions": [3.0, 5.0]}
    assert post(line, path, {"inputs": [1, 2]})[1] == {"outputs": [3.0, 5.0]}
    assert post(line, path, {"instances": [{"x": 1}]})[1] == {"predictions": [3.0]}


def test_the_content_type_is_not_looked_at(line: FlaskClient) -> None:
    """TensorFlow Serving's own examples send forms: `curl -d` without a header."""
    answer = line.post(
        "/v1/models/toy:predict",
        data='{"instances": [1]}',
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.get_json() == {"predictions": [3.0]}


def test_state_and_metadata_have_tensorflows_form(loans: FlaskClient) -> None:
    [state] = loans.get("/v1/models/toy").get_json()["model_version_status"]
    assert (state["version"], state["state"]) == ("3", "AVAILABLE")
    described = loans.get("/v1/models/toy/versions/3/metadata").get_json()
    signature = described["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert described["model_spec"] == {"name": "toy", "signature_name": "", "version": "3"}
    assert signature["inputs"]["purpose"]["dtype"] == "DT_STRING"
    assert signature["outputs"]["probability"]["tensor_shape"]["dim"][0]["size"] == "-1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "object"),
        ({}, "nothing"),
        ({"instances": 1}, "instances"),
        ({"instances": []}, "no record"),
        ({"instances": [LOAN | {"age": "x"}]}, "Row 0, column 'age'"),
        ({"inputs": 1}, "inputs"),
        ({"inputs": {}}, "no record"),
        ({"inputs": {"agee": [1]}}, "'agee'"),
        ({"inputs": {"age": 1}}, "'age'"),
        ({"inputs": COLUMNS | {"age": [1, 2]}}, "lengths"),
        ({"inputs": COLUMNS, "instances": [LOAN]}, "inputs"),
        ({"signature_name": "other", "instances": [LOAN]}, "serving_default"),
        ({"signature_name": [], "instances": [LOAN]}, "serving_default"),
    ],
)
def test_a_bad_request_is_told_in_one_text(
    loans: FlaskClient, post: Post, body: Any, said: str
) -> None:
    status, answer = post(loans, "/v1/models/toy:predict", body)
    assert status == 400
    assert said in answer["error"]


@pytest.mark.parametrize("path", ["other:predict", "toy/versions/2:predict", "toy:classify", "toy"])
def test_what_is_not_served_is_not_found(loans: FlaskClient, post: Post, path: str) -> None:
    status, answer = post(loans, f"/v1/models/{path}", {"instances": [LOAN]})
    assert status in (404, 405)
    assert isinstance(answer["error"], str)
