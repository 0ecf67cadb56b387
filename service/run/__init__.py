"""What happens while a job runs: its stages, their events and the processes that help."""
