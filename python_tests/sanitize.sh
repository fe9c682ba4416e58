#!/usr/bin/env bash
# Runs the tests of the ops and of the compiled grounding on a build with AddressSanitizer and
# UBSan:
#   python_tests/sanitize.sh [python] [arguments for pytest]
# The build and a copy of the package go to a temporary folder; the checkout is not touched.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python}
shift || true

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/python_tests"
cp -r tedg_fast build_support pyproject.toml "$folder"
cp -r python_tests/{helpers,ops,nethack,oracle,conftest.py} "$folder/python_tests"
rm -f "$folder"/tedg_fast/*/*.so

torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))')
cmake -G Ninja -S . -B "$folder/build" -DTEDG_SANITIZE=ON -DTEDG_TORCH_DIR="$torch" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" \
  -DPython_EXECUTABLE="$(command -v "$python")" \
  -DTEDG_OUTPUT_DIR="$folder/tedg_fast" >"$folder/cmake.log" || { cat "$folder/cmake.log"; exit 1; }
cmake --build "$folder/build" --parallel 2

# Python itself is not built with the sanitizers, so their runtimes must be loaded first; leaks are
# not looked for, since the interpreter keeps memory until it ends.
runtimes="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libubsan.so)"
cd "$folder"
PYTHONPATH="$folder" ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$runtimes" \
  "$python" -m pytest -q -s -n 0 -p no:cacheprovider -m "not slow" python_tests/ops python_tests/nethack \
  --ignore python_tests/ops/test_vector_levels.py "$@"
