"""One module for each source of data: the source NAME of a job is `open_NAME` in the module NAME."""
