"""Frozen values that all rooms share; imports nothing of ours but the errors."""
