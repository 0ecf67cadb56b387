"""`nas benchmark`: what is run, remembered between runs and printed."""
