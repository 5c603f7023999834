"""Import paths of jobflow-remote 1.0.1: where the files of a job are."""
