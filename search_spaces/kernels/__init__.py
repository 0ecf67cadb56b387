"""Computations of elastic layers that a GPU needs no compilation for when shapes change."""
