"""The published clients of the Open Inference Protocol, unchanged, against a real server."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from bundles import write_bundle, write_pointer
from lastmile.features.schema import Column, ColumnKind
from lastmile.features.steps import ContractStep
from served import Served, serving

pytestmark = pytest.mark.slow

COLUMNS = (
    Column("age", ColumnKind.INTEGER, minimum=18),
    Column("income", ColumnKind.NUMBER),
    Column("employed", ColumnKind.BOOLEAN),
    Column("purpose", ColumnKind.CATEGORY),
)
VALUES = {
    "age": np.array([40, 41], dtype=np.int64),
    "income": np.array([50.5, 48.0], dtype=np.float64),
    "employed": np.array([True, False]),
    "purpose": np.array(["car", "häuser"], dtype=np.object_),
}
DATATYPES = {"age": "INT64", "income": "FP64", "employed": "BOOL", "purpose": "BYTES"}
EXPECTED = 1 / (1 + np.exp(-np.array([2.5, 0.0])))  # 40+50.5+1+1-90; 41+48+0+1-90


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    bundle = write_bundle(
        folder / "bundle", name="loans", task="binary", columns=COLUMNS, steps=(ContractStep(),),
        vocabularies=(("car", "häuser"),), classes=("repaid", "defaulted"), bias=-90.0,
    )  # fmt: skip
    pointer = write_pointer(folder / "pointer.json", bundle, version=4, name="loans")
    with serving(pointer) as server:
        yield server


@pytest.fixture
def client(served: Served) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(served.address)
    yield client
    client.close()


def build_inputs(binary: bool, shape: tuple[int, ...] = (2,)) -> list[triton.InferInput]:
    inputs = []
    for name, values in VALUES.items():
        tensor = triton.InferInput(name, list(shape), DATATYPES[name])
        tensor.set_data_from_numpy(values.reshape(shape), binary_data=binary)
        inputs.append(tensor)
    return inputs


def test_tritons_client_finds_the_server_live_and_the_model_ready(
    client: triton.InferenceServerClient,
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("loans")
    assert client.is_model_ready("loans", "4")
    assert not client.is_model_ready("loans", "3")
    assert not client.is_model_ready("other")


def test_tritons_client_reads_the_metadata(client: triton.InferenceServerClient) -> None:
    assert client.get_server_metadata()["name"] == "lastmile"
    metadata = client.get_model_metadata("loans", "4")
    assert {t["name"]: t["datatype"] for t in metadata["inputs"]} == DATATYPES


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
@pytest.mark.parametrize("packing", [None, "gzip"])
def test_tritons_client_gets_the_models_answers(
    client: triton.InferenceServerClient,
    binary_in: bool,
    binary_out: bool | None,
    shape: tuple[int, ...],
    packing: str | None,
) -> None:
    names = ("label", "probability")
    outputs = (
        None
        if binary_out is None
        else [triton.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    )
    result = client.infer(
        "loans",
        build_inputs(binary_in, shape),
        outputs=outputs,
        request_id="7",
        request_compression_algorithm=packing,
    )
    labels = [x.decode() if isinstance(x, bytes) else x for x in result.as_numpy("label")]
    assert labels == ["defaulted", "defaulted"]
    np.testing.assert_allclose(result.as_numpy("probability"), EXPECTED, atol=1e-6)
    assert result.get_response()["id"] == "7"
    assert result.get_response()["model_version"] == "4"


def test_tritons_client_is_told_what_is_wrong(client: triton.InferenceServerClient) -> None:
    inputs = build_inputs(binary=True)
    inputs[0].set_data_from_numpy(np.array([40, 17], dtype=np.int64))
    with pytest.raises(InferenceServerException, match="Row 1, column 'age': below 18") as raised:
        client.infer("loans", inputs)
    assert raised.value.status() == "400"
    with pytest.raises(InferenceServerException, match="other"):
        client.infer("other", inputs)


def test_tritons_client_keeps_its_connection_over_many_requests(
    client: triton.InferenceServerClient,
) -> None:
    for _ in range(100):
        client.infer("loans", build_inputs(binary=True))


def test_kserves_rest_form_is_answered(served: Served) -> None:
    """What `kserve.InferenceRESTClient` sends: `InferRequest.to_rest()` as JSON over httpx.

    The package itself needs a Kubernetes client and pydantic's web stack, so its requests are sent here.
    """
    body = {
        "id": "6a4f",
        "model_name": "loans",
        "inputs": [
            {"name": name, "shape": [2], "datatype": DATATYPES[name], "data": values.tolist()}
            for name, values in VALUES.items()
        ],
        "parameters": {},
    }
    base = f"http://{served.address}"
    with httpx.Client(base_url=base) as client:
        assert client.get("/v2/health/live").json()["live"] is True
        assert client.get("/v2/health/ready").json()["ready"] is True
        assert client.get("/v2/models/loans/ready").json()["ready"] is True
        answer = client.post("/v2/models/loans/infer", json=body).json()
    assert answer["model_name"] == "loans"
    assert answer["id"] == "6a4f"
    np.testing.assert_allclose(answer["outputs"][1]["data"], EXPECTED, atol=1e-6)
