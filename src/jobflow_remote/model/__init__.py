"""The words of the system as data and pure functions: no input or output, no clock of its own, no import outside."""
