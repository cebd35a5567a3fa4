#!/usr/bin/env bash
# Writes the lock files beside it: every package that an installation brings, pinned, with the hashes of its files.
# `make lock` after a change of dependencies in pyproject.toml; test.txt removed before, all versions are the newest that
# fit. It needs uv (`pipx install uv`) and PyPI.
#
#   preprocess.txt  the demo and the preprocessor's image; kuberay.txt besides, for a KubeRay head
#   trainer.txt     the trainer's image, with torch.txt: PyPI's torch and its CUDA; `make demo-train` with preprocess.txt
#   test.txt        `make test`
#
# torch stands apart: whoever installs by `make` may take another build of its version (for the CPU alone, of a vendor, from
# a mirror), whose files have other hashes and need none of the CUDA packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
UV="${UV:-uv}"
command -v "$UV" >/dev/null || { echo "make lock needs uv: pipx install uv, or UV=/path/to/uv make lock" >&2; exit 1; }
folder=deploy/requirements
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# What builds our own package is locked too: it is installed without a build environment, which would be filled unlocked.
python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
  > "$work/build.in"

compile() { # FILE INPUTS AND OPTIONS
  "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
    --output-file "$work/$1" "${@:2}"
}
part() { # FILE 0, or 1 for torch and what only its build for CUDA needs
  echo "# Made by \`make lock\`; see lock.sh."
  awk -v torch="$2" '/^[a-z0-9]/ { apart = /^(torch=|triton=|cuda-|nvidia-)/ && !/^nvidia-ml-py=/ } apart == torch' "$work/$1"
}

# The largest first: the others have its versions. It keeps those that it had, where they still fit.
[ ! -e "$folder/test.txt" ] || cp "$folder/test.txt" "$work"
compile test.txt pyproject.toml "$work/build.in" --extra preprocess --extra trainer --extra test
for extra in preprocess trainer; do
  compile "$extra.txt" pyproject.toml "$work/build.in" --extra "$extra" --constraints "$work/test.txt"
done
echo 'ray[default]' > "$work/kuberay.in"
compile kuberay.txt "$work/kuberay.in" --constraints "$work/test.txt"
for file in test.txt preprocess.txt trainer.txt kuberay.txt; do
  part "$file" 0 > "$folder/$file"
done
part trainer.txt 1 > "$folder/torch.txt"
