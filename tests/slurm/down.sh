#!/usr/bin/env bash
# Takes down the SLURM that `up.sh FOLDER` brought up: its jobs, its daemons, its folder. Nothing else is touched.
set -uo pipefail
folder=${1:?down.sh FOLDER}
[ -f "$folder/slurm.conf" ] || { echo "down.sh: nothing is up in $folder"; exit 0; }
folder=$(cd "$folder" && pwd)
export SLURM_CONF=$folder/slurm.conf

running() { [ -r "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"; }

stop() { # the process of a pid file: by SIGTERM and, two seconds later, by SIGKILL
    local process
    process=$(cat "$1" 2>/dev/null) && [ -n "$process" ] || return 0
    kill "$process" 2>/dev/null
    for ((wait = 0; wait < 20; wait++)); do
        running "$process" || return 0
        sleep 0.1
    done
    kill -9 "$process" 2>/dev/null
}

timeout 5 scancel --full --signal=KILL --user="$(id -un)" 2>/dev/null
timeout 5 scancel --user="$(id -un)" 2>/dev/null
for ((wait = 0; wait < 50; wait++)); do
    [ -z "$(timeout 5 squeue -h -t running,completing 2>/dev/null)" ] && break
    sleep 0.2
done
for file in "$folder"/slurmd-*.pid "$folder/slurmctld.pid" "$folder/munge/munged.pid"; do stop "$file"; done
rm -rf "$folder"
