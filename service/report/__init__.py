"""Reports of a finished job for people: the HTML page, figures, and tables in the terminal."""
