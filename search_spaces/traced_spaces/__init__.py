"""Spaces that are read off a traced network: its decisions, exact costs, blocks, and what of it stays fixed."""
