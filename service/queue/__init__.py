"""Jobs that run elsewhere and later: the queue, its workers, pipelines and sweeps."""
