"""The only package that knows names, files, processes and users: jobs, the command line, tracking, reports."""
