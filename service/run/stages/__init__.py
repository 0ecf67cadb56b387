"""The stages of a job, one file each: what it needs and leaves, who takes part, and what it does."""
