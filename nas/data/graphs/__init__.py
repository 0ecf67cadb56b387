"""Graphs whose nodes have labels: their files, their splits, and their batches, which are nodes."""
