#!/usr/bin/env bash
# Puts uv into .tools/uv with nothing but a Python 3.11 to 3.13, and says which Python that is.
#   tools/bootstrap.sh            install uv if it is not there
#   tools/bootstrap.sh --python   print the interpreter's path
set -euo pipefail
cd "$(dirname "$0")/.."
uv_version=0.13.9

find_python() {
  # A version manager's shim may exist for a version that is not switched on: run each to be sure.
  for name in ${LASTMILE_PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null &&
      "$name" -c 'import sys; print(sys.executable)' && return
  done
  echo "No Python 3.11, 3.12 or 3.13 found on PATH." >&2
  echo "Install one, or name it: make demo LASTMILE_PYTHON=/path/to/python3.12" >&2
  exit 2
}

python=$(find_python)
if [ "${1:-}" = --python ]; then echo "$python"; exit; fi
[ -x .tools/uv/bin/uv ] && [ "$(.tools/uv/bin/uv --version | cut -d' ' -f2)" = "$uv_version" ] && touch .tools/uv/bin/uv && exit

echo "Installing uv $uv_version into .tools ..."
rm -rf .tools/uv
if "$python" -c 'import ensurepip' 2>/dev/null; then
  "$python" -m venv .tools/uv
  .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
elif "$python" -m pip --version >/dev/null 2>&1; then
  "$python" -m pip install --quiet --disable-pip-version-check --target .tools/uv "uv==$uv_version"
else
  echo "$python has neither venv nor pip, so nothing can be installed with it." >&2
  echo "On Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 2
fi
