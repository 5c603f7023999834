"""Measurements: ``python -m benchmarks`` (or ``make bench``). A module for each topic."""
