"""The JSON Schema of the team file, from which editors complete and check."""

import json
from typing import Any

from lastmile.team.rules import TeamRules


def team_schema() -> str:
    """Return the text of `include/team.schema.json`."""
    schema: dict[str, Any] = TeamRules.model_json_schema()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lastmile team",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    return json.dumps(schema, indent=2) + "\n"
