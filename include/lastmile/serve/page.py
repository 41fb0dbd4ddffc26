"""What people look at: `/` and `/openapi.json`. The page has no script and loads nothing."""

import json
import shlex

from flask import Blueprint, Response, request
from markupsafe import Markup

from lastmile.features.schema import Column
from lastmile.serve.example import example_record
from lastmile.serve.live import Model
from lastmile.serve.openapi import describe_api
from lastmile.serve.service import Service, respond

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def build_blueprint(service: Service) -> Blueprint:
    """Build the page and the API's description."""
    blueprint = Blueprint("page", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return respond(describe_api(service.take_model(), service.limits))

    @blueprint.get("/")
    def page() -> Response:
        body = render(service.take_model(), request.host_url)
        response = Response(body, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    return blueprint


def render(model: Model, url: str) -> str:
    """Return the page of a model that is served at an address."""
    transform, signature = model.predictor.transform, model.predictor.signature
    body = json.dumps({"instances": [example_record(transform)]})
    curl = f"curl -s {url}predict -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    rows = Markup("").join(map(_render_column, transform.schema.columns))
    outputs = ", ".join(tensor.name for tensor in signature.outputs)
    return _PAGE.format(
        name=model.name,
        version=model.version,
        release=model.pointer.release,
        task=signature.task,
        classes=", ".join(signature.classes or ()) or "a number",
        outputs=outputs,
        curl=curl,
        rows=rows,
    )


def _render_column(column: Column) -> Markup:
    rules = []
    if column.minimum is not None:
        rules.append(f"at least {column.minimum:g}")
    if column.maximum is not None:
        rules.append(f"at most {column.maximum:g}")
    if column.allowed is not None:
        rules.append("one of " + ", ".join(column.allowed))
    cells = Markup("<td>{}<td>{}<td>{}").format(column.name, column.kind, "; ".join(rules))
    return Markup("<tr>") + cells + "\n"


_PAGE = Markup("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{name}, version {version}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #f3f3f3; color: #222; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; padding: .1rem 1.5rem .1rem 0; border-bottom: 1px solid #ddd }}
</style>
<h1>{name}</h1>
<p>Version {version}, release {release}. A {task} model that tells {classes}; it answers with {outputs}.</p>
<h2>Ask it</h2>
<pre>{curl}</pre>
<p>The same model speaks the Open Inference Protocol below <code>/v2</code> and TensorFlow Serving's REST
form below <code>/v1</code>. <a href="/openapi.json">OpenAPI</a> · <a href="/readyz">Ready?</a> ·
<a href="/metrics">Metrics</a></p>
<h2>What it reads</h2>
<table>
<thead><tr><th scope="col">Column<th scope="col">Type<th scope="col">Rules</thead>
<tbody>
{rows}</tbody>
</table>
</html>
""")
