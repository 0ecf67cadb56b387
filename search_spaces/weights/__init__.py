"""Weights that a network begins with: from a file or a hub, and how images were prepared for them."""
