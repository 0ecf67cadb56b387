"""The commands of the command line, one module per group: arguments in, printed lines out."""
