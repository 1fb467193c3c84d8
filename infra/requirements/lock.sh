#!/usr/bin/env bash
# Resolves the *.in files into hashed *.txt locks (`make lock`). Each smaller set is constrained by the larger
# one, so that serving, training and dev never differ in a version. `make lock UPGRADE=1` takes newer versions.
set -euo pipefail
cd "$(dirname "$0")"
UV=../../.venv/uv/bin/uv

lock() {
    # A resolver that is told no index writes no registry address.
    "$UV" pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
        --custom-compile-command "make lock" "$@"
}

upgrade=()
if [ -n "${UPGRADE:-}" ]; then upgrade=(--upgrade); fi

lock dev.in -o dev.txt ${upgrade[@]+"${upgrade[@]}"}
lock training.in -c dev.txt -o training.txt
lock serving.in -c training.txt -o serving.txt
lock speed-dev.in -o speed-dev.txt ${upgrade[@]+"${upgrade[@]}"}
lock speed.in -c speed-dev.txt -o speed.txt
lock uv.in -o uv.txt ${upgrade[@]+"${upgrade[@]}"}
