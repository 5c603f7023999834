"""Decisions: pure functions from what is known to the changes that should be made."""
