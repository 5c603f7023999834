"""The steps of the runner, one module each, called as in the lifecycle table. Steps never import each other."""
