#!/bin/bash
# A run of rlgan on SLURM: sbatch slurm.sh seqgan /shared/runs/one --num-env-runners 16
# One Ray process group a node by `ray symmetric-run`; the driver runs on the first node, as this script does. Two minutes
# before the time is up SLURM sends SIGTERM to this script alone (B:), which hands it to the driver: rlgan leaves a
# checkpoint, Ray is stopped, the job is queued again, and goes on from it. (Ray's processes would die of the signal at
# once.) A job that is preempted gets that signal only where slurm.conf has PreemptParameters=send_user_signal; without it
# the run goes on from its newest checkpoint. The run directory must be on storage that all nodes see.
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
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300 # seconds for the last node to come; Ray's own are 30
export RAY_gcs_rpc_server_reconnect_timeout_s=20  # until a node ends whose head has ended (Ray: 60): srun waits for all

# To the process that rlgan says it is, if that is one of this job: what a killed run has left may name any other by now.
# shellcheck disable=SC2329 # called by the trap
hand_on() {
    local pid
    pid=$(sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' "$run_dir/run.lock.json" 2> /dev/null || true)
    if ! grep -qzx "SLURM_JOB_ID=$SLURM_JOB_ID" "/proc/$pid/environ" 2> /dev/null || ! kill -TERM "$pid"; then
        kill -TERM "$job" || true
    fi
}

srun --kill-on-bad-exit=0 ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_ON_NODE" -- \
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
elif [[ $code -eq 0 && ! -f $run_dir/report.html ]]; then # symmetric-run ends with 0 where Ray does not start
    echo "slurm.sh: $run_dir has no report: the run has not begun; what Ray says is above" >&2
    code=6
fi
exit "$code"
