"""Tests of first jobs."""
