"""A small real calculation: the equation of state of copper, for ``jf quickstart``. Needs the extra ``demo``."""
