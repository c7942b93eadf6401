#!/bin/sh
# The image's environment: `install.sh SOURCE TARGET` makes a virtual environment in TARGET, which nothing outside of it
# and of the Python that runs this is needed for. PYTHON: that Python, python3 unless given.
#
# Every distribution is checked against the hashes in requirements.lock. What only building needs is removed again.
set -eu

source=$1
target=$2

"${PYTHON:-python3}" -m venv "$target"
pip="$target/bin/python -m pip --disable-pip-version-check --quiet"
$pip install --require-hashes --requirement "$source/requirements.lock"
$pip install --no-deps --no-build-isolation --no-index "$source"
$pip uninstall --yes editables hatchling pathspec pluggy trove-classifiers setuptools pip
