import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

Post = Callable[..., tuple[int, Any]]
INFER = "/v2/models/toy/infer"


def loan_tensors(**change: Any) -> list[dict[str, Any]]:
    """Two loans, one tensor per column; keyword arguments replace parts of the age's tensor."""
    age = {"name": "age", "datatype": "INT64", "shape": [2], "data": [40, 41]}
    return [
        age | change,
        {"name": "income", "datatype": "FP64", "shape": [2, 1], "data": [[50.5], [60]]},
        {"name": "employed", "datatype": "BOOL", "shape": [2], "data": [True, False]},
        {"name": "purpose", "datatype": "BYTES", "shape": [2], "data": ["car", "house"]},
    ]


def test_the_metadata_names_inputs_and_outputs(loans: FlaskClient) -> None:
    for path in ("/v2/models/toy", "/v2/models/toy/versions/3"):
        described = loans.get(path).get_json()
        assert described["versions"] == ["3"]
        assert described["inputs"][0] == {"name": "age", "datatype": "INT64", "shape": [-1]}
        assert [t["datatype"] for t in described["inputs"]] == ["INT64", "FP64", "BOOL", "BYTES"]
        assert [t["name"] for t in described["outputs"]] == ["label", "probability"]


def test_health_is_told_as_the_protocol_says(loans: FlaskClient) -> None:
    assert loans.get("/v2/health/live").get_json() == {"live": True}
    assert loans.get("/v2/health/ready").get_json() == {"ready": True}
    assert loans.get("/v2/models/toy/ready").get_json() == {"name": "toy", "ready": True}
    assert "binary_tensor_data" in loans.get("/v2").get_json()["extensions"]


def test_tensors_in_json_are_answered_in_json(loans: FlaskClient, post: Post) -> None:
    status, answer = post(loans, INFER, {"id": "request 7", "inputs": loan_tensors()})
    label, probability = answer["outputs"]
    assert status == 200
    assert (answer["id"], answer["model_name"], answer["model_version"]) == (
        "request 7",
        "toy",
        "3",
    )
    assert label == {
        "name": "label", "datatype": "BYTES", "shape": [2], "data": ["defaulted", "defaulted"],
    }  # fmt: skip
    rows = [
        {"age": 40, "income": 50.5, "employed": True, "purpose": "car"},
        {"age": 41, "income": 60, "employed": False, "purpose": "house"},
    ]
    ours = post(loans, "/predict", {"instances": rows})[1]["predictions"]
    assert probability["data"] == [row["probability"] for row in ours]


def test_only_the_outputs_asked_for_are_answered(loans: FlaskClient, post: Post) -> None:
    body = {"inputs": loan_tensors(), "outputs": [{"name": "label"}]}
    _, answer = post(loans, INFER, body)
    assert [output["name"] for output in answer["outputs"]] == ["label"]


def test_a_matrix_of_probabilities_has_its_shape(iris: FlaskClient, post: Post) -> None:
    tensor = {"datatype": "FP32", "shape": [2], "data": [1, 2]}
    _, answer = post(iris, INFER, {"inputs": [{"name": "a"} | tensor, {"name": "b"} | tensor]})
    assert answer["outputs"][1]["shape"] == [2, 3]
    assert len(answer["outputs"][1]["data"]) == 6


def test_binary_tensors_are_read_and_written(loans: FlaskClient) -> None:
    texts = b"".join(struct.pack("<I", len(t)) + t for t in (b"car", b"house"))
    raw = [
        np.array([40, 41], "<i8").tobytes(),
        np.array([50.5, 60], "<f4").tobytes(),
        b"\x01\x00",
        texts,
    ]
    inputs = loan_tensors()
    inputs[1]["datatype"] = "FP32"
    for tensor, part in zip(inputs, raw, strict=True):
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(part)}
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    answer = loans.post(
        INFER,
        data=head + b"".join(raw),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.status_code == 200
    length = int(answer.headers["Inference-Header-Content-Length"])
    label, probability = json.loads(answer.data[:length])["outputs"]
    sizes = [output["parameters"]["binary_data_size"] for output in (label, probability)]
    assert sum(sizes) == len(answer.data) - length
    tail = answer.data[length:]
    assert tail[: sizes[0]] == (struct.pack("<I", 9) + b"defaulted") * 2
    assert np.frombuffer(tail[sizes[0] :], "<f8")[0] == pytest.approx(0.924, abs=1e-3)


def test_a_column_left_out_is_refused(loans: FlaskClient, post: Post) -> None:
    inputs = loan_tensors()
    for index, tensor in enumerate(inputs):
        status, answer = post(loans, INFER, {"inputs": inputs[:index] + inputs[index + 1 :]})
        assert status == 400
        assert f"Row 0, column {tensor['name']!r}: not there" in answer["error"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"name": "agee"}, "'agee'", id="an unknown input"),
        pytest.param({"name": None}, "no name", id="no name"),
        pytest.param({"name": "income"}, "twice", id="an input twice"),
        pytest.param({"datatype": "BYTES"}, "BYTES", id="a datatype that does not fit"),
        pytest.param({"datatype": "BF16"}, "BF16", id="an unknown datatype"),
        pytest.param({"datatype": ["INT64"]}, "INT64", id="a list for a datatype"),
        pytest.param({"shape": [3]}, "age", id="a shape of more than there is"),
        pytest.param({"shape": [2, 2]}, "shape", id="a matrix"),
        pytest.param({"shape": [-1]}, "shape", id="a negative shape"),
        pytest.param({"shape": [True]}, "shape", id="a boolean shape"),
        pytest.param({"shape": None}, "shape", id="no shape"),
        pytest.param({"shape": [0], "data": []}, "no record", id="no record"),
        pytest.param({"shape": [10**30]}, "records", id="an endless shape"),
        pytest.param({"data": [40, "x"]}, "Row 1, column 'age'", id="a text for a number"),
        pytest.param({"data": [40, 17]}, "Row 1, column 'age'", id="out of range"),
        pytest.param({"data": 40}, "list", id="no list"),
        pytest.param({"data": [[40], [[41]]]}, "Row 1, column 'age'", id="nested"),
        pytest.param({"parameters": 1}, "parameters", id="parameters that are none"),
        pytest.param(
            {"parameters": {"binary_data_size": 16}},
            "binary_data_size",
            id="bytes that are not there",
        ),
        pytest.param(
            {"parameters": {"binary_data_size": "x"}}, "binary_data_size", id="a size that is none"
        ),
    ],
)
def test_a_bad_tensor_is_refused_by_name(
    loans: FlaskClient, post: Post, change: dict[str, Any], said: str
) -> None:
    status, answer = post(loans, INFER, {"inputs": loan_tensors(**change)})
    assert status in (400, 413)
    assert said in answer["error"]


@pytest.mark.parametrize(
    "body",
    [[], {}, {"inputs": {}}, {"inputs": []}, {"inputs": [1]}, {"id": 1, "inputs": []},
     {"inputs": loan_tensors(), "outputs": 1}, {"inputs": loan_tensors(), "outputs": [{}]},
     {"inputs": loan_tensors(), "outputs": [{"name": "nothing"}]},
     {"inputs": loan_tensors(), "outputs": [{"name": "label", "parameters": {"classification": 3}}]},
     {"inputs": loan_tensors(), "parameters": []}],
)  # fmt: skip
def test_a_request_of_another_form_is_refused(loans: FlaskClient, post: Post, body: Any) -> None:
    status, answer = post(loans, INFER, body)
    assert status == 400
    assert isinstance(answer["error"], str)


@pytest.mark.parametrize("length", ["x", "-1", "999999", "9" * 30, "1"])
def test_a_wrong_length_of_the_json_is_refused(loans: FlaskClient, post: Post, length: str) -> None:
    body = {"inputs": loan_tensors()}
    status, _ = post(loans, INFER, body, Inference_Header_Content_Length=length)
    assert status == 400


@pytest.mark.parametrize(
    "raw", [b"\x01", b"\x09\0\0\0ab", b"\x02\0\0\0\xff\xfe", b"\x01\0\0\0a\x01\0\0\0b"]
)
def test_broken_binary_texts_are_refused(loans: FlaskClient, raw: bytes) -> None:
    parameters = {"binary_data_size": len(raw)}
    tensor = {"name": "purpose", "datatype": "BYTES", "shape": [1], "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = loans.post(INFER, data=head + raw, headers=headers)
    assert answer.status_code == 400
    assert "purpose" in answer.get_json()["error"]


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/toy/versions/2", "/v2/models/toy/versions/x", "/v2/x"]
)
def test_another_model_or_version_is_not_found(loans: FlaskClient, path: str) -> None:
    answer = loans.get(path)
    assert answer.status_code == 404
    assert isinstance(answer.get_json()["error"], str)
