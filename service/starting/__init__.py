"""A first job for the user's own data: choices based on measurements here, written with their reasons."""
