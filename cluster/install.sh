#!/usr/bin/env bash
# The steps of the image, in the order of the Dockerfile: what changes least comes first. A test runs the same steps in a
# bare root file system (tests/cluster/test_image.py). pip's own variables say where packages come from, such as
# PIP_INDEX_URL, or PIP_NO_INDEX and PIP_FIND_LINKS for a folder made by `make wheelhouse`.
#
#   install.sh system                      Debian's packages and the user that everything runs as
#   install.sh packages SOURCES cpu|gpu    what metaner needs, as pinned: SOURCES has pyproject.toml and constraints.txt
#   install.sh package SOURCES             metaner itself
set -euo pipefail

VENV=/opt/metaner
PYTHON=${PYTHON:-python3}
USER_ID=1000
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# wget: KubeRay's probes. openssh-client, rsync: the head that `ray up` started begins workers with them. procps: `ray stop`.
SYSTEM=(ca-certificates openssh-client procps rsync wget)

system() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet
    apt-get install --yes --quiet --no-install-recommends "${SYSTEM[@]}" "$@"
    rm -rf /var/lib/apt/lists/*
    useradd --create-home --uid "$USER_ID" --gid users --shell /bin/bash metaner
    # Login shells, as `ray up` and some versions of KubeRay use them, set PATH anew.
    echo "export PATH=$VENV/bin:\$PATH" > /etc/profile.d/metaner.sh
}

# Requirements in pyproject.toml, so that this layer is built without our sources and stays when they change.
requirements() {
    "$PYTHON" - "$1/pyproject.toml" "$2" <<'END'
import sys, tomllib
file, extra = sys.argv[1:]
project = tomllib.load(open(file, "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"][extra], *project["optional-dependencies"]["e5"], sep="\n")
END
}

packages() {
    local sources=$1 extra=$2 wanted
    case $extra in cpu | gpu) ;; *) echo "EXTRA is '$extra': there are cpu and gpu" >&2 && exit 2 ;; esac
    wanted=$(mktemp)
    requirements "$sources" "$extra" > "$wanted"
    "$PYTHON" -m venv "$VENV"
    "$VENV/bin/pip" install -c "$sources/constraints.txt" -r "$wanted"
    rm "$wanted"
}

# A copy, for setuptools writes beside the sources; checked, for --no-deps would hide that something is missing.
package() {
    local copy
    copy=$(mktemp -d)
    cp -r "$1"/. "$copy"
    "$VENV/bin/pip" install --no-deps "$copy"
    "$VENV/bin/pip" check
    rm -r "$copy"
}

case ${1:-} in
    system | packages | package) "$@" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
