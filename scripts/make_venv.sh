#!/bin/sh
# Makes an environment: make_venv.sh FOLDER STACK, where STACK is classic, current, docs, detect or auto.
#   classic  TensorFlow 2.15 and tensorflow-addons, on Python 3.9 to 3.11 (requirements.txt)
#   current  TensorFlow 2.20 or newer and tf_keras, on Python 3.10 to 3.13 (requirements-current.txt)
#   docs     what makes the documentation, without TensorFlow, on Python 3.9 to 3.13 (docs/requirements.txt)
#   detect   PyTorch for tools.detect, without TensorFlow, on Python 3.10 to 3.13 (detection/requirements.txt)
#   auto     classic if there is a Python for it, else current
# Without any such Python it asks uv for one, and without uv it says what to install.
set -eu

folder=$1
stack=$2
classic="3.11 3.10 3.9"
current="3.12 3.13 3.11 3.10"

find_python() {
    for version in "$@"; do
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

# uv brings Pythons of its own; installed by whatever Python 3 there is, if need be.
python_of_uv() {
    uv=uv
    if ! command -v uv >/dev/null 2>&1; then
        rm -rf .venv-uv
        { python3 -m venv .venv-uv && .venv-uv/bin/python -m pip install --quiet uv; } >/dev/null 2>&1 || return 1
        uv=.venv-uv/bin/uv
    fi
    "$uv" python install --quiet "$1" >/dev/null 2>&1 && "$uv" python find "$1" 2>/dev/null
}

give_up() {
    echo "error: no Python that TensorFlow runs on: 3.9 to 3.11 (classic stack), or 3.10 to 3.13 (current stack)." >&2
    echo "Install one with venv: 'apt-get install python3.11 python3.11-venv', 'brew install python@3.11'," >&2
    echo "'pyenv install 3.11' or 'uv python install 3.11', and run make again." >&2
    exit 1
}

case $stack in
auto)
    if python=$(find_python $classic); then stack=classic
    elif python=$(find_python $current); then stack=current
    elif python=$(python_of_uv 3.11); then stack=classic
    else give_up; fi ;;
classic) python=$(find_python $classic) || python=$(python_of_uv 3.11) || give_up ;;
current) python=$(find_python $current) || python=$(python_of_uv 3.12) || give_up ;;
docs) python=$(find_python $current $classic) || python=$(python_of_uv 3.12) || give_up ;;
detect) python=$(find_python $current) || python=$(python_of_uv 3.12) || give_up ;;
*) echo "error: STACK=$stack: expected classic, current or auto." >&2; exit 2 ;;
esac

what="the $stack stack (1 to 3 minutes)"
case $stack in
classic) requirements=requirements.txt ;;
current) requirements=requirements-current.txt ;;
docs) requirements=docs/requirements.txt what="the documentation" ;;
detect) requirements=detection/requirements.txt what="detection (some GB: PyTorch)" ;;
esac
echo "Making $folder with $("$python" --version) for $what: installing $requirements."
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
touch "$folder/ready"
