"""Choosing architectures: objectives, searchers, journals, Pareto fronts, measurements on hardware."""
