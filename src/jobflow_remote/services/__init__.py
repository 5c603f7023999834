"""An opened set of adapters, and what processes of one machine tell each other. Built by :mod:`..bootstrap` only."""
