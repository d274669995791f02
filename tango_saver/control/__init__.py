"""The only room that imports tango."""
