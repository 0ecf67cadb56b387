"""What a job is: its sections, how it is read and checked, and the folder it is kept in."""
