# Sourced by scripts/demo and scripts/test: makes .venv at the repository root and installs what is missing.
# usage: sliceflow_environment NAME PACKAGE...   (NAME tells apart sets of packages; a set is installed once)

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# Install Debian packages where this user may, else say exactly what to install.
need_system_packages() {
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        say "installing system packages: $*"
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2 ||
            { apt-get update >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2; } ||
            fail "apt-get could not install: $*"
    else
        fail "these system packages are missing: $*
  fix: sudo apt-get install $*"
    fi
}

find_python() {
    local candidate
    for candidate in "${SLICEFLOW_PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
        command -v "$candidate"
        return
    done
    return 1
}

sliceflow_environment() {
    local set_name=$1
    shift
    cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
    command -v g++ >/dev/null || need_system_packages g++
    local python
    python=$(find_python) || { need_system_packages python3 python3-venv; python=$(find_python); } ||
        fail "Python 3.11, 3.12 or 3.13 is needed and none was found"
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        rm -rf .venv
        "$python" -m venv .venv 2>/dev/null || { need_system_packages python3-venv; "$python" -m venv .venv; } ||
            fail "the virtual environment could not be made"
    fi
    local stamp
    stamp=.venv/.sliceflow-$set_name-$({ cat pyproject.toml; printf '%s\n' "$@"; } | sha256sum | cut -c1-16)
    if [ ! -e "$stamp" ]; then
        say "installing into .venv: $*"
        local log=.venv/install.log
        .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -q "$@" >"$log" 2>&1 ||
            { cat "$log" >&2; fail "pip could not install: $*"; }
        rm -f ".venv/.sliceflow-$set_name-"*
        : >"$stamp"
    fi
}
