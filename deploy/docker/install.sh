#!/bin/sh
# Installs what an extra of pyproject.toml needs, as it is locked, into /opt/pellucid:
#     install.sh EXTRA [OPTIONS OF PIP THAT SAY WHERE TORCH'S CPU BUILD IS]
set -eu
extra=$1
torch=${2:-}
python3 requirements/subset.py "$extra" > /tmp/lock.txt
python3 -m venv /opt/pellucid
pip() { /opt/pellucid/bin/python -m pip --disable-pip-version-check --no-cache-dir --quiet "$@"; }
pip install --no-deps --require-hashes -r /tmp/lock.txt
if [ -n "$torch" ]; then
    # shellcheck disable=SC2086  # several options
    pip install --no-deps $torch -r requirements/torch.txt
fi
# Receipts name the version, as importlib.metadata finds it; the code itself is copied beside.
version=$(python3 -c "import tomllib; print(tomllib.load(open('pyproject.toml', 'rb'))['project']['version'])")
about=/opt/pellucid/lib/python3.11/site-packages/pellucid-$version.dist-info
mkdir "$about"
printf 'Metadata-Version: 2.1\nName: pellucid\nVersion: %s\n' "$version" > "$about/METADATA"
# Nothing is installed into an image once it is built, nothing is compiled, tested or debugged.
grep -q ^setuptools== /tmp/lock.txt || pip uninstall --yes setuptools
pip uninstall --yes pip
cd /opt/pellucid/lib/python3.11/site-packages
find . -type d \( -name tests -o -name include \) -prune -exec rm -rf {} +
# Those whose wheels carry the symbols for a debugger, 30 MB together.
strip --strip-debug ml_dtypes/*.so rapidjson*.so
