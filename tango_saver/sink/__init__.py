"""Where scans go; the only room that imports h5py."""
