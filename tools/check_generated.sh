#!/usr/bin/env bash
# Fails when a generated file is not what `make generate` writes. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
files=(include/pipelines/schema.json include/team.schema.json requirements.txt docs/dags.md)
for file in "${files[@]}"; do cp --parents "$file" "$before"; done
tools/generate.sh
status=0
for file in "${files[@]}"; do
  if ! diff -u "$before/$file" "$file" | head -40; then status=1; fi
  cmp -s "$before/$file" "$file" || { echo "$file is stale: run \`make generate\` and commit it." >&2; status=1; }
  cp "$before/$file" "$file" # a check leaves the tree as it was
done
.tools/uv/bin/uv lock --check --quiet || { echo "uv.lock does not fit pyproject.toml: run \`make lock\`." >&2; status=1; }
exit $status
