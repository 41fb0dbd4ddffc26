"""The JSON Schema of pipeline files, from which editors complete and check."""

import json
from typing import Any

from lastmile.pipeline.definition import Pipeline


def pipeline_schema() -> str:
    """Return the text of `include/pipelines/schema.json`."""
    schema: dict[str, Any] = Pipeline.model_json_schema()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lastmile pipeline",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    return json.dumps(schema, indent=2) + "\n"
