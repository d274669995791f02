"""How files of others are opened."""

from __future__ import annotations

from h5py import h5p

_CACHE_BYTES = 64 * 1024
"""For the metadata of a source; what HDF5 takes otherwise costs more than all the rest."""


def _for_a_glance() -> h5p.PropFAID:
    properties = h5p.create(h5p.FILE_ACCESS)
    properties.set_file_locking(False, True)  # noqa: FBT003 - h5py takes no keywords here
    cache = properties.get_mdc_config()
    cache.set_initial_size = True
    cache.initial_size = cache.min_size = _CACHE_BYTES
    properties.set_mdc_config(cache)
    return properties


FOR_A_GLANCE = _for_a_glance()
"""Without a lock, and without more memory than a look at a dataset takes."""
