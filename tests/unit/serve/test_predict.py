import gzip
import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from bundles import write_bundle, write_pointer
from lastmile.features.schema import Column, ColumnKind
from lastmile.serve.app import create_app
from lastmile.serve.limits import Limits

Post = Callable[..., tuple[int, Any]]
LOAN = {"age": 40, "income": 50.5, "employed": True, "purpose": "car"}
SIGMOID = 1 / (1 + math.exp(-2.5))  # 40 + 50.5 + 1 + 1 - 90


def test_a_binary_answer_names_label_probability_model_and_version(
    loans: FlaskClient, post: Post
) -> None:
    status, answer = post(loans, "/predict", {"instances": [LOAN]})
    [prediction] = answer["predictions"]
    assert status == 200
    assert prediction["label"] == "defaulted"
    assert prediction["probability"] == pytest.approx(SIGMOID, abs=1e-6)
    assert (answer["model"], answer["version"]) == ("toy", 3)


def test_every_answer_carries_the_version_in_a_header(loans: FlaskClient) -> None:
    for path in ("/readyz", "/livez", "/nothing", "/v2/models/toy", "/openapi.json"):
        assert loans.get(path).headers["X-Model-Version"] == "3"


def test_a_multiclass_answer_gives_every_probability(iris: FlaskClient, post: Post) -> None:
    _, answer = post(iris, "/predict", {"data": [[0, 5], [9, 5]]})
    assert [row["label"] for row in answer["predictions"]] == ["second", "first"]
    assert sum(answer["predictions"][0]["probabilities"]) == pytest.approx(1)


def test_a_model_of_one_number_takes_bare_numbers(line: FlaskClient, post: Post) -> None:
    _, answer = post(line, "/predict", {"data": [1, 2.5, -3]})
    assert [row["value"] for row in answer["predictions"]] == [3.0, 6.0, -5.0]


def test_rows_are_taken_in_the_columns_order(loans: FlaskClient, post: Post) -> None:
    named = post(loans, "/predict", {"instances": [LOAN]})
    assert post(loans, "/predict", {"data": [[40, 50.5, True, "car"]]}) == named


def test_a_missing_value_is_filled_in_as_training_did(loans: FlaskClient, post: Post) -> None:
    answers = [
        post(loans, "/predict", {"instances": [row]})[1]["predictions"]
        for row in (LOAN | {"income": None}, LOAN | {"income": 100})
    ]
    assert answers[0] == answers[1]


def test_a_column_that_is_not_there_is_refused_even_where_null_is_filled_in(
    loans: FlaskClient, post: Post
) -> None:
    left_out = {key: value for key, value in LOAN.items() if key != "income"}
    status, answer = post(loans, "/predict", {"instances": [LOAN, left_out]})
    assert (status, answer["error"]["row"], answer["error"]["column"]) == (400, 1, "income")
    kinds = {"age": "INT64", "employed": "BOOL", "purpose": "BYTES"}
    tensors = [
        {"name": name, "datatype": kind, "shape": [1], "data": [LOAN[name]]}
        for name, kind in kinds.items()
    ]
    for path, body in (
        ("/v1/models/toy:predict", {"instances": [left_out]}),
        ("/v1/models/toy:predict", {"inputs": {name: [v] for name, v in left_out.items()}}),
        ("/v2/models/toy/infer", {"inputs": tensors}),
    ):
        status, answer = post(loans, path, body)
        assert status == 400
        assert "Row 0, column 'income': not there" in answer["error"]


@pytest.mark.parametrize(
    ("change", "column"),
    [
        pytest.param({"age": "40"}, "age", id="text for a number"),
        pytest.param({"age": True}, "age", id="boolean for a number"),
        pytest.param({"age": 40.5}, "age", id="fraction for a whole number"),
        pytest.param({"age": 17}, "age", id="below the least"),
        pytest.param({"age": 1e300}, "age", id="above the greatest"),
        pytest.param({"age": 10**400}, "age", id="a number of 400 digits"),
        pytest.param({"age": None}, "age", id="missing, and nothing fills it in"),
        pytest.param({"age": []}, "age", id="a list"),
        pytest.param({"income": {"a": 1}}, "income", id="an object"),
        pytest.param({"income": 1e300}, "income", id="more than the model's float32 holds"),
        pytest.param({"employed": 1}, "employed", id="number for a boolean"),
        pytest.param({"purpose": 1}, "purpose", id="number for a text"),
        pytest.param({"purpose": "boat"}, "purpose", id="a text that is not allowed"),
        pytest.param({"agee": 1}, "agee", id="an unknown column"),
        pytest.param({"": 1}, "", id="an unknown column without a name"),
    ],
)
def test_a_bad_value_is_refused_with_its_row_and_column(
    loans: FlaskClient, post: Post, change: dict[str, Any], column: str
) -> None:
    status, answer = post(loans, "/predict", {"instances": [LOAN, LOAN | change]})
    error = answer["error"]
    assert (status, error["row"], error["column"]) == (400, 1, column)
    assert error["headline"].startswith(f"Row 1, column {column!r}: ")
    assert error["hint"]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_of_json_is_refused(loans: FlaskClient, post: Post, literal: str) -> None:
    body = json.dumps({"instances": [LOAN]}).replace("50.5", literal).encode()
    status, answer = post(loans, "/predict", body)
    assert (status, answer["error"]["row"], answer["error"]["column"]) == (400, 0, "income")
    assert "expected a finite number" in answer["error"]["headline"]


def test_a_number_that_overflows_in_json_is_refused_with_its_column(
    loans: FlaskClient, post: Post
) -> None:
    body = json.dumps({"instances": [LOAN]}).replace("50.5", "1e999").encode()
    status, answer = post(loans, "/predict", body)
    assert (status, answer["error"]["column"]) == (400, "income")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"{", 400, id="half an object"),
        pytest.param(b'{"instances": [{}]} x', 400, id="something behind it"),
        pytest.param(b'{"instances": [], "instances": []}', 400, id="a key twice"),
        pytest.param(b'{"instances": []}', 400, id="an empty list"),
        pytest.param(b'{"instances": {}}', 400, id="no list"),
        pytest.param(b'{"instances": [1]}', 400, id="a number for a record"),
        pytest.param(b'{"instances": [null]}', 400, id="null for a record"),
        pytest.param(b'{"data": [[1, 2]]}', 400, id="a short row"),
        pytest.param(b'{"data": [1]}', 400, id="a bare number for four columns"),
        pytest.param(b'{"instance": [{}]}', 400, id="a mistyped key"),
        pytest.param(b'{"instances": [{}], "data": []}', 400, id="both forms"),
        pytest.param(b"[1]", 400, id="a list"),
        pytest.param(b"\xff\xfe", 400, id="no UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"data": [1]}', 400, id="a byte order mark"),
        pytest.param(b"[" * 100_000, 400, id="brackets a hundred thousand deep"),
        pytest.param(b'{"instances":' * 10_000, 400, id="objects ten thousand deep"),
        pytest.param(b'{"data": [' + b"9" * 5000 + b"]}", 400, id="five thousand digits"),
        pytest.param(b'{"data": [[1,2,3,4]' + b",[1,2,3,4]" * 100 + b"]}", 413, id="rows"),
        pytest.param(b'{"data": [' + b" " * 200_000 + b"1]}", 413, id="bytes"),
    ],
)
def test_a_bad_body_is_refused(
    serve: Callable[..., FlaskClient], post: Post, body: bytes, status: int
) -> None:
    columns = tuple(Column(name, ColumnKind.NUMBER) for name in "abcd")
    client = serve(Limits(max_rows=100, max_body_bytes=200_000), columns=columns)
    found, answer = post(client, "/predict", body)
    assert found == status
    assert answer["error"].keys() >= {"headline", "hint"}


def test_another_content_type_is_refused(loans: FlaskClient) -> None:
    answer = loans.post("/predict", data={"age": 1})
    assert answer.status_code == 415
    assert "application/json" in answer.get_json()["error"]["hint"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json"]
)
def test_json_may_be_declared_in_other_ways(loans: FlaskClient, content_type: str) -> None:
    body = json.dumps({"instances": [LOAN]})
    assert loans.post("/predict", data=body, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_packed_body_is_unpacked(
    loans: FlaskClient, post: Post, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(json.dumps({"instances": [LOAN]}).encode())
    assert post(loans, "/predict", body, Content_Encoding=encoding)[0] == 200


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        pytest.param("gzip", b"no gzip", 400, id="broken"),
        pytest.param("gzip", gzip.compress(b'{"data": [1]}')[:-9], 400, id="cut short"),
        pytest.param("gzip", gzip.compress(b" " * 10_000_000), 413, id="a bomb"),
        pytest.param("br", b"x", 415, id="unknown"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused(
    line: FlaskClient, post: Post, encoding: str, body: bytes, status: int
) -> None:
    assert post(line, "/predict", body, Content_Encoding=encoding)[0] == status


def test_a_record_for_which_the_model_has_no_answer_is_the_clients_fault(
    serve: Callable[..., FlaskClient], post: Post
) -> None:
    columns = (Column("a", ColumnKind.NUMBER), Column("b", ColumnKind.NUMBER))
    client = serve(columns=columns, weights=np.array([[1e30], [1e30]]))
    status, answer = post(client, "/predict", {"data": [[1, 1], [1e30, 1e30]]})
    assert (status, answer["error"]["row"]) == (422, 1)


def test_an_unknown_address_and_a_wrong_method_are_json_too(loans: FlaskClient) -> None:
    unknown, wrong = loans.get("/nothing"), loans.get("/predict")
    assert (unknown.status_code, wrong.status_code) == (404, 405)
    assert "/nothing" in unknown.get_json()["error"]["headline"]
    assert "POST" in wrong.headers["Allow"]
    assert "POST" in wrong.get_json()["error"]["hint"]


def test_a_bug_is_told_without_a_trace(
    loans: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    model = loans.application.extensions["lastmile"].live.model
    object.__setattr__(model.predictor, "session", None)  # as if the runtime broke
    answer = loans.post("/predict", json={"instances": [LOAN]})
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "AttributeError" in caplog.text


def test_no_model_is_a_503_until_there_is_one(tmp_path: Any, pointer: Any, post: Post) -> None:
    app = create_app(pointer, follow=False)
    client = app.test_client()
    assert post(client, "/predict", {"data": [1]})[0] == 503
    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").status_code == 200
    write_pointer(pointer, write_bundle(tmp_path / "bundle"))
    app.extensions["lastmile"].live.refresh()
    assert post(client, "/predict", {"data": [1]})[0] == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/v1/models/toy:predict"])
def test_the_name_of_an_unknown_column_is_cut_short(
    loans: FlaskClient, post: Post, path: str
) -> None:
    status, answer = post(loans, path, {"instances": [LOAN | {"a" * 100_000: 1}]})
    assert status == 400
    assert len(json.dumps(answer)) < 1000


def test_a_byte_order_mark_is_passed_over(line: FlaskClient, post: Post) -> None:
    assert post(line, "/predict", b'\xef\xbb\xbf{"data": [1]}')[0] == 200
