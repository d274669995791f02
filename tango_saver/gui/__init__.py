"""The Taurus panel. What it shows is computed without Qt, in ``view``, ``finished``, ``trend``."""
