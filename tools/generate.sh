#!/usr/bin/env bash
# Writes the generated files anew: the schemas of the pipeline files and the team file, requirements.txt, docs/dags.md.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/lastmile schema >include/pipelines/schema.json
.venv/bin/lastmile schema --team >include/team.schema.json
{
  echo "# GENERATED from uv.lock by \`make lock\`; edit pyproject.toml instead."
  .tools/uv/bin/uv export --quiet --frozen --all-extras --no-dev --no-emit-project --no-annotate --no-hashes --no-header
} >requirements.txt
.venv/bin/python tools/dag_docs.py >docs/dags.md
