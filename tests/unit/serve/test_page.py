import html
import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
from flask.testing import FlaskClient

from lastmile.features.schema import Column, ColumnKind

LOAN = {"age": 40, "income": 50.5, "employed": True, "purpose": "car"}


def find_references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from find_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from find_references(inner)


def resolve(document: dict[str, Any], schema: Any) -> Any:
    """Return a schema that stands alone: the document's components beside it."""
    return schema | {"components": document["components"]}


def test_the_description_has_openapis_form(loans: FlaskClient) -> None:
    document = loans.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    assert document["info"].keys() >= {"title", "version"}
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["responses"]
            for response in operation["responses"].values():
                assert response["description"]
    for reference in find_references(document):
        schema = document
        for part in reference.removeprefix("#/").split("/"):
            schema = schema[part]
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_path_described_is_served_and_every_one_served_is_described(
    loans: FlaskClient,
) -> None:
    document = loans.get("/openapi.json").get_json()
    for path, item in document["paths"].items():
        for method in item:
            assert loans.open(path, method=method.upper()).status_code != 404, path
    served = {
        rule.rule.replace("<name>", "toy").replace("<version>", "3")
        for rule in loans.application.url_map.iter_rules()
    }
    assert set(document["paths"]) == served


def test_the_schemas_tell_good_records_from_bad_as_the_server_does(
    loans: FlaskClient,
) -> None:
    document = loans.get("/openapi.json").get_json()
    schema = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    validator = jsonschema.Draft202012Validator(resolve(document, schema["schema"]))
    changes: tuple[dict[str, Any], ...] = (
        {}, {"income": None}, {"age": 17}, {"age": "40"}, {"purpose": "boat"}, {"agee": 1},
        {"employed": 1}, {"age": 40.5},
    )  # fmt: skip
    for change in changes:
        body = {"instances": [LOAN | change]}
        assert validator.is_valid(body) == (loans.post("/predict", json=body).status_code == 200)


def test_an_answer_fits_the_schema_of_answers(loans: FlaskClient) -> None:
    document = loans.get("/openapi.json").get_json()
    answers = document["paths"]["/predict"]["post"]["responses"]
    good = loans.post("/predict", json={"instances": [LOAN]}).get_json()
    bad = loans.post("/predict", json={"instances": [{}]}).get_json()
    for status, answer in (("200", good), ("400", bad)):
        schema = answers[status]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, resolve(document, schema))


def test_the_examples_are_answered(loans: FlaskClient) -> None:
    document = loans.get("/openapi.json").get_json()
    [example] = document["components"]["schemas"]["Record"]["examples"]
    assert loans.post("/predict", json={"instances": [example]}).status_code == 200
    for path in ("/v1/models/toy:predict", "/v2/models/toy/infer"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert loans.post(path, json=content["example"]).status_code == 200


def test_the_curl_line_of_the_page_works_when_pasted(loans: FlaskClient) -> None:
    page = loans.get("/")
    [line] = re.findall(r"<pre>(.*?)</pre>", page.text, re.DOTALL)
    words = shlex.split(html.unescape(line))
    assert words[2] == "http://localhost/predict"
    body = json.loads(words[words.index("-d") + 1])
    assert loans.post("/predict", json=body).status_code == 200


def test_the_page_shows_the_inputs_and_runs_no_script(
    serve: Callable[..., FlaskClient], loans: FlaskClient
) -> None:
    assert "one of car, house" in loans.get("/").text
    client = serve(columns=(Column("<script>alert(1)</script>", ColumnKind.NUMBER),))
    page = client.get("/")
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_metrics_count_requests_rows_and_name_the_version(loans: FlaskClient) -> None:
    loans.post("/predict", json={"instances": [LOAN, LOAN]})
    loans.post("/predict", json={"instances": [{}]})
    loans.get("/secret/path/7")
    text = loans.get("/metrics").text
    assert 'lastmile_requests_total{route="/predict",status="200"} 1.0' in text
    assert 'lastmile_requests_total{route="/predict",status="400"} 1.0' in text
    assert 'lastmile_requests_total{route="unmatched",status="404"} 1.0' in text
    assert 'lastmile_rows_total{model="toy",version="3"} 2.0' in text
    assert 'lastmile_model_version{model="toy"} 3.0' in text
    assert 'lastmile_request_seconds_count{route="/predict"} 2.0' in text
    assert "secret" not in text
