"""A first job for data of one's own: what is chosen for them, by what was measured here, written with the reasons."""
