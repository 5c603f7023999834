"""SSH by asyncssh: the only package that imports it, when the first connection is wanted."""
