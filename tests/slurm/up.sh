#!/usr/bin/env bash
# Brings up a SLURM for tests on this machine, without systemd, as root or as an ordinary user; down.sh takes it away.
#
#   up.sh FOLDER        prints the file to name in SLURM_CONF
#
# NODES (1) nodes of GPUS (2) pretend GPUs and CPUS (8) pretend cores each; ports PORT (17817) and following, on
# 127.0.0.1 only; partitions `main` and `urgent` (which pre-empts `main`); no accounting, so no `sacct`.
# EXTRA is appended to slurm.conf.
set -euo pipefail
folder=$1
nodes=${NODES:-1} gpus=${GPUS:-2} cpus=${CPUS:-8} port=${PORT:-17817}
here=$(cd "$(dirname "$0")" && pwd)
host=$(hostname -s)
PATH=$PATH:/usr/sbin:/sbin

for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || { echo "up.sh: $program is missing: apt-get install slurm-wlm munge" >&2; exit 2; }
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[ ! -e "$folder/slurm.conf" ] || { echo "up.sh: $folder/slurm.conf exists: down.sh $folder first" >&2; exit 2; }
mkdir -p "$folder"/{state,log,munge}
chmod 755 "$folder"
chmod 700 "$folder/munge"

# A munge of our own: one that serves the machine is neither needed nor touched.
(umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")
munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/munged.pid" \
    --log-file="$folder/munge/munged.log" --seed-file="$folder/munge/seed"

# SLURM wants a device file for each GPU, each a different one; without any (`Count=2` alone) the node is invalid.
devices=(/dev/null /dev/zero /dev/full /dev/random /dev/urandom)
node_lines=""
for ((node = 0; node < nodes; node++)); do
    name=$([ "$nodes" = 1 ] && echo "$host" || echo "node$node")
    mkdir -p "$folder/spool-$name"
    for ((gpu = 0; gpu < gpus; gpu++)); do
        echo "NodeName=$name Name=gpu Type=pretend File=${devices[gpu]}" >>"$folder/gres.conf"
    done
    node_lines+="NodeName=$name NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1 + node)) CPUs=$cpus"
    node_lines+=" RealMemory=16000 Gres=gpu:pretend:$gpus State=UNKNOWN"$'\n'
    names+=("$name")
done
touch "$folder/gres.conf"
all_nodes=$(IFS=, && echo "${names[*]}")

cat >"$folder/cgroup.conf" <<END
CgroupPlugin=cgroup/v1
CgroupAutomount=no
END
# A job that is queued again waits until its credential has expired: two minutes, if cred_expire were not set.
cat >"$folder/slurm.conf" <<END
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
DefMemPerCPU=100
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
SlurmdTimeout=10
SlurmctldTimeout=10
ReturnToService=2
${EXTRA:-}
${node_lines}PartitionName=main Nodes=$all_nodes Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=$all_nodes MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
END
export SLURM_CONF=$folder/slurm.conf
slurmctld -f "$SLURM_CONF"
for name in "${names[@]}"; do slurmd -f "$SLURM_CONF" -N "$name"; done

for ((attempt = 0; attempt < 150; attempt++)); do
    up=$(timeout 5 sinfo -h -N -p main -t idle -o %N 2>/dev/null | wc -l || true)
    [ "$up" = "$nodes" ] && { echo "$SLURM_CONF"; exit 0; }
    sleep 0.2
done
echo "up.sh: SLURM did not come up; the ends of its logs:" >&2
tail -n 20 "$folder"/log/*.log "$folder"/munge/munged.log >&2
"$here/down.sh" "$folder"
exit 1
