"""Accelerators on paper: the layers of a network, what each costs on a sub-accelerator, and where each one runs."""
