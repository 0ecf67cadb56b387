"""Benchmarks as programs: they start, refuse and go on as they say."""
