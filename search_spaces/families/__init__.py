"""One file for each family of networks: its decisions, its elastic network and its blocks."""
