"""`nas benchmark`: the runs, their journals and the printed results."""
