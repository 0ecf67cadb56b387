"""The stages of a job, one file each: what a stage needs and leaves, which processes take part, and what it does."""
