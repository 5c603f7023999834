"""Import paths of jobflow-remote 1.0.1."""
