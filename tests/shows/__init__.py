"""What is promised, at full size: ``python -m tests.shows PART`` (or ``make shows PART=…``)."""
