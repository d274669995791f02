"""The plot window, always closed."""
