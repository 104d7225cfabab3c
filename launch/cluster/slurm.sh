#!/bin/bash
# A run of rlgan on SLURM: sbatch slurm.sh seqgan /shared/runs/one --num-env-runners 16
# One Ray process group a node by `ray symmetric-run`; the driver runs on the first node, as this script does. Two minutes
# before the time is up, or when the job is preempted, SLURM sends SIGTERM to this script alone (B:), which hands it to
# the driver: rlgan leaves a checkpoint, Ray is stopped, the job is queued again, and goes on from it. (Ray's processes
# would die of the signal at once.) The run directory must be on storage that all nodes see.
#SBATCH --job-name=rlgan
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

if [[ $# -lt 2 ]]; then
    echo "usage: sbatch slurm.sh SYSTEM RUN_DIR [OPTIONS OF rlgan train]" >&2
    exit 2
fi
system=$1
run_dir=$2
shift 2

read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + SLURM_JOB_ID % 20000))

# All nodes of the job share one token, in the home directory that they share.
export RAY_AUTH_MODE=token
(umask 077 && ray get-auth-token --generate > /dev/null)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# shellcheck disable=SC2329 # called by the trap
hand_on() {
    pid=$(sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' "$run_dir/run.lock.json" 2> /dev/null || true)
    if [[ -n $pid ]]; then kill -TERM "$pid" || true; else kill -TERM "$job" || true; fi
}

srun --kill-on-bad-exit=0 ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_ON_NODE" --include-dashboard=false -- \
    rlgan train "$system" --run-dir "$run_dir" --resume auto --address "$head:$port" "$@" &
job=$!
trap hand_on TERM

code=0
wait "$job" || code=$?
while kill -0 "$job" 2> /dev/null; do # a signal has ended the wait, not the job
    code=0
    wait "$job" || code=$?
done

if [[ $code -eq 143 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
