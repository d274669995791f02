"""Saves the scans of a BLISS session into NeXus/HDF5 files, live, under a Tango device."""

__version__ = "0.1.0"
