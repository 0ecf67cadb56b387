"""Executors, which start job folders: in this process, on the GPUs of this machine, on a cluster."""
