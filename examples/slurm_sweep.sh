#!/usr/bin/env bash
# Six trainings as one array of a SLURM cluster; what the options leave out comes from SBATCH_PARTITION and the like.
#
#   pip install 'espalier-nas[slurm]'
#   bash examples/slurm_sweep.sh my.yaml --option partition=gpu --gpus 1
#
# Afterwards: nas watch, and nas compare with the folders that it names.
set -euo pipefail
job=${1:?the job file, such as my.yaml}
shift
nas submit "$job" --queue slurm --cpus 2 --time-min 240 --sweep seed=1,2,3 --sweep train.lr=0.05,0.1 "$@"
