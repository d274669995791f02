"""Pure functions from a scan description to a file plan."""
