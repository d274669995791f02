"""Where scans come from; the only room that knows Redis."""
