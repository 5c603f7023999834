"""Import paths of jobflow-remote 1.0.1: re-exports, documents as models, and the controller façade."""
