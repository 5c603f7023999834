"""Hosts: where commands run and files lie. One port (:mod:`.port`), an adapter per way to get there."""
