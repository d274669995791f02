"""Chunks as the bitshuffle filter leaves them.

There is no such filter outside HDF5. So HDF5 itself encodes the chunk, in a file in memory,
and the result is read back as it is stored. Imported only for a session that asks for it.
"""

from __future__ import annotations

import threading
from typing import Any

import hdf5plugin  # noqa: F401 - registers the filter
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5f, h5p, h5s, h5t

from tango_saver.model.plan import Filter

_FILTER = 32008
"""As registered with The HDF Group."""
_OPTIONS = {
    Filter.BITSHUFFLE: (0, 0),
    Filter.BITSHUFFLE_LZ4: (0, 2),
}
"""Block size (the filter's own choice) and compression (none, LZ4)."""
_LARGEST_FILE = 64 << 20
"""Bytes that one file in memory may take before it is given up for a new one."""


def add_filter(properties: h5p.PropDCID, chosen: Filter) -> None:
    """Have a dataset's chunks filtered; a chunk is never stored without."""
    properties.set_filter(_FILTER, 0, _OPTIONS[chosen])


class _Memory(threading.local):
    """One file in memory per thread, with one dataset of one chunk per form of chunk."""

    def __init__(self) -> None:
        self._datasets: dict[tuple[Filter, int, tuple[int, ...]], h5d.DatasetID] = {}
        self._file: h5f.FileID | None = None

    def dataset(self, chosen: Filter, itemsize: int, shape: tuple[int, ...]) -> h5d.DatasetID:
        """A dataset of the shape of one chunk."""
        if self._file is not None and self._file.get_filesize() > _LARGEST_FILE:
            self._datasets.clear()
            self._file = None
        key = (chosen, itemsize, shape)
        found = self._datasets.get(key)
        if found is None:
            found = self._datasets[key] = self._create(*key)
        return found

    def _create(self, chosen: Filter, itemsize: int, shape: tuple[int, ...]) -> h5d.DatasetID:
        if self._file is None:
            access = h5p.create(h5p.FILE_ACCESS)
            access.set_fapl_core(1 << 20, False)  # noqa: FBT003 - no file on disk
            # HDF5 takes files in memory of the same name for the same file.
            place = f"chunks {threading.get_ident()}"
            self._file = h5f.create(place.encode(), h5f.ACC_TRUNC, None, access)
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk(shape)
        add_filter(properties, chosen)
        uncached = h5p.create(h5p.DATASET_ACCESS)
        uncached.set_chunk_cache(1, 0, 1.0)
        # Only the size of an element matters to the filter.
        kind = h5t.create(h5t.OPAQUE, itemsize)
        name = f"{chosen.name} {itemsize} {shape}".encode()
        return h5d.create(
            self._file, name, kind, h5s.create_simple(shape), properties, None, uncached
        )


_memory = _Memory()


def bitshuffled(block: npt.NDArray[Any], chosen: Filter) -> bytes:
    """A whole chunk, encoded.

    Args:
        block: any dtype without objects.
        chosen: BITSHUFFLE or BITSHUFFLE_LZ4.

    Raises:
        OSError, RuntimeError, ValueError: HDF5 or the filter refuses.
    """
    contiguous = np.ascontiguousarray(block)
    dataset = _memory.dataset(chosen, block.dtype.itemsize, block.shape)
    raw = contiguous.reshape(-1).view(f"V{block.dtype.itemsize}").reshape(block.shape)
    dataset.write(h5s.ALL, h5s.ALL, raw, mtype=h5t.create(h5t.OPAQUE, block.dtype.itemsize))
    _, encoded = dataset.read_direct_chunk((0,) * block.ndim)
    return bytes(encoded)
