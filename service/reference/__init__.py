"""The meaning of fields and names, read from the docstrings of the code: for the terminal, editors and the guide."""
