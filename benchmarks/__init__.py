"""The claims of the README, as commands that print the figures."""
