#!/bin/sh
# Makes .venv from requirements.txt with the newest Python that TensorFlow 2.15 runs on.
set -eu

find_python() {
    for version in 3.11 3.10 3.9; do
        for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python \
            "/opt/homebrew/bin/python$version" "/usr/local/bin/python$version" python3 python; do
            # Runs it: a pyenv shim exists for versions that aren't active, and then fails.
            if "$candidate" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" \
                >/dev/null 2>&1; then
                echo "$candidate"
                return
            fi
        done
    done
    return 1
}

if ! python=$(find_python); then
    echo "error: Python 3.9, 3.10 or 3.11 with venv is needed (TensorFlow 2.15 runs on no other)." >&2
    echo "Install one: 'apt-get install python3.11 python3.11-venv', 'brew install python@3.11'," >&2
    echo "'pyenv install 3.11' or 'uv python install 3.11', and run make again." >&2
    exit 1
fi

echo "Making .venv with $("$python" --version) and installing requirements.txt (1 to 3 minutes)."
"$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
touch .venv/ready
