#!/usr/bin/env bash
# All that a GPU has to show, in half an hour and one command:
#   bench/gpu_session.sh [--dry-run] [python]
# Each part has a budget in seconds and leaves a log; bench/results/<date>-<commit>-gpu/session.md
# is written as they end. --dry-run goes through the same on the CPU, small, into a temporary folder.
# A part that fails or runs out of time does not keep the next one from running; the exit status
# is the number of those that failed.
set -uo pipefail
cd "$(dirname "$0")/.."

dry=false
if [ "${1:-}" = --dry-run ]; then
  dry=true
  shift
fi
python=${1:-python}
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
if $dry; then
  out=$(mktemp -d)
  device=cpu
else
  out=bench/results/$(date +%F)-$commit-gpu
  device=cuda
fi
if ! $dry && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "no CUDA device, or a torch without CUDA; --dry-run goes through the same on a CPU" >&2
  exit 1
fi
mkdir -p "$out"
failed=0

note() { echo "$*" | tee -a "$out/session.md"; }

# part NAME SECONDS COMMAND...: a line in session.md, the output in NAME.log.
part() {
  local name=$1 seconds=$2 before=$SECONDS status
  shift 2
  timeout --signal=INT --kill-after=20 "$seconds" "$@" >"$out/$name.log" 2>&1
  status=$?
  if [ $status = 0 ]; then
    note "- $name: done in $((SECONDS - before)) s"
  else
    failed=$((failed + 1))
    note "- $name: exit status $status after $((SECONDS - before)) s of at most $seconds;" \
      "last line: $(tail -n 1 "$out/$name.log")"
  fi
}
# tool NAME: whether it is there; a line if not.
tool() { command -v "$1" >/dev/null || { note "- $1: not on this machine" && false; }; }
# Without the project's options: pytest-xdist may be missing there, and one GPU takes one process.
tests=(-m pytest -q -o addopts=--import-mode=importlib -p no:cacheprovider -m cuda python_tests/ops)

note "# GPU session of commit $commit, $(date -u '+%F %H:%M') UTC"
if $dry; then
  note "A dry run on the CPU: nothing here says anything of a GPU."
else
  note "- $(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader)"
fi

# 1. Build for this device alone, if what is there has no code for it.
loads='import torch; from tedg_fast.ops import _native
assert _native.has_kernel(torch.empty(0, device="'$device'").device), _native.CUDA_ARCHITECTURES'
if ! "$python" -c "$loads" 2>/dev/null; then
  number=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())')
  part build 300 env TEDG_CUDA=1 TEDG_CUDA_ARCHITECTURES="$number-real" \
    "$python" -m pip install -q -e . --no-build-isolation --no-deps
fi
part loads 120 "$python" -c "$loads"
part info 120 "$python" -m tedg_fast.info

# 2. All tests of the kernels on the device.
part tests 420 "$python" "${tests[@]}"

# 3. Agreement and speed.
if $dry; then
  part speed 300 "$python" bench/run_cuda.py --device cpu --small --out "$out/speed.md"
else
  part speed 600 "$python" bench/run_cuda.py --seconds 480 --out "$out/speed.md"
fi

# 4. Instructions, bytes and shared-memory accesses of four kernels.
if tool ncu && ! $dry; then
  metrics=smsp__inst_executed.sum,dram__bytes.sum,gpu__time_duration.sum
  metrics+=,l1tex__data_bank_conflicts_pipe_lsu.sum,sm__throughput.avg.pct_of_peak_sustained_elapsed
  part counters 180 ncu --csv --metrics "$metrics" --launch-count 16 \
    --kernel-name 'regex:tile_forward|tile_backward|window_|forward_kernel|backward_kernel' \
    "$python" bench/headline_calls.py
fi

# 5. Out-of-bounds accesses and races, on small shapes.
if tool compute-sanitizer && ! $dry; then
  for kind in memcheck racecheck; do
    part "$kind" 180 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$kind" \
      --error-exitcode 1 "$python" "${tests[@]}" -x -k 'float32 and (tiles or hubs or small or shape0)'
  done
fi

# 6. About a minute of training.
if $dry; then
  size=(--episodes 4 --max-steps 60 --num-envs 4 --num-workers 1 --ppo.rollout-decisions 32)
else
  size=(--episodes 60 --max-steps 500)
fi
part training 240 "$python" -c 'from tedg_fast.cli import train; train()' --device "$device" \
  --results "$out/training" "${size[@]}"

note "$failed parts failed; results in $out"
$dry && cat "$out"/*.log
exit $failed
