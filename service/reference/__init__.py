"""What fields and names mean, read from the docstrings of the code: for the terminal, for editors, for the guide."""
