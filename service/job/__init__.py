"""A job: its sections, how it is read and checked, and the folder that holds it."""
