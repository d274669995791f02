"""BLISS imports the client of its plot window when it starts; here there is no window."""
