"""What a person reads of a finished job: the HTML page, figures and tables in the terminal."""
