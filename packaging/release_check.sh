#!/usr/bin/env bash
# What must hold before a release: the change log names the version, both distributions build, the wheel from the source
# distribution, their metadata is in order, and the wheel runs in a new environment in another project's folder.
# In: a clone in an environment with `.[test]`. Out: dist/ with the two files that may be uploaded.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
grep -q "^## $version\b" CHANGELOG.md || { echo "CHANGELOG.md has no section for $version"; exit 1; }
[ -z "$(git status --porcelain)" ] || { echo "there are changes that are not committed"; exit 1; }

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install -q --disable-pip-version-check build twine

rm -rf dist
"$tools/bin/python" -m build --outdir dist .
"$tools/bin/twine" check --strict dist/*
SQUEEZE_WHEEL=$(echo "$PWD"/dist/squeeze_gpt-"$version"-*.whl) pytest -q tests/end_to_end/test_wheel.py -m "not browser"
echo "dist/ holds $version: python -m twine upload dist/*"
