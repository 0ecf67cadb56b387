"""One module a source of data: the source that a job calls NAME is `open_NAME` in the module NAME."""
