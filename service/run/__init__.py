"""The run of a job: its stages, their events and the processes that help."""
