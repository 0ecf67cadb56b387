"""Measuring on hardware."""
