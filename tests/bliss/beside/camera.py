"""A camera without a detector: it writes its files and publishes its frames as Lima does."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
from bliss.scanning.acquisition.lima import get_default_data_store
from bliss.scanning.chain import AcquisitionMaster
from bliss.scanning.channel import Lima2AcquisitionChannel, LimaAcquisitionChannel
from blissdata.lima.client import prepare_next_lima_acquisition

_SERVER = "tango://localhost:1/demo/limaccds/simcam"
_SHAPE = (16, 12)
_DATASET = "/entry_0000/DEMO/{}/data"
_BUFFER = 100
_EMIT_EVERY = 3


class Camera(AcquisitionMaster):
    """Frame ``k`` holds its pixel's number plus ``k``; files are written when the camera stops.

    Args:
        n_frames: that the scan asks for.
        per_file: frames in one file.
        edf: write EDF instead of HDF5.
        saving: whether there are files at all.
        lima2: publish as Lima2 does, with a dimension for the channels of a frame.
    """

    def __init__(
        self,
        n_frames: int,
        per_file: int = 10,
        *,
        edf: bool = False,
        saving: bool = True,
        lima2: bool = False,
    ) -> None:
        name = "cam2" if lima2 else "simcam"
        super().__init__(None, name=name, npoints=n_frames, prepare_once=True, start_once=True)
        self._n_frames, self._per_file = n_frames, per_file
        self._edf, self._saving, self.lima2 = edf, saving, lima2
        self._dataset = _DATASET.format(name)
        self._n_done = 0
        self._folder, self._prefix = Path(), ""
        self._acquisition = str(uuid.uuid4())
        self.channel = self._lima2_channel() if lima2 else LimaAcquisitionChannel(f"{name}:image")
        self.channels.append(self.channel)

    def _lima2_channel(self) -> Lima2AcquisitionChannel:
        servers = {"tango_ctrl_url": "demo/lima2/ctrl", "tango_recv_urls": ["demo/lima2/recv1"]}
        return Lima2AcquisitionChannel("cam2:frame", servers, "uint16", (1, *_SHAPE), None)

    def set_device_saving(
        self,
        directory: str | None,
        prefix: str,
        force_no_saving: bool = False,
    ) -> None:
        """BLISS says where the files go."""
        if force_no_saving or directory is None:
            self._saving = False
        else:
            self._folder, self._prefix = Path(directory), prefix

    def prepare(self) -> None:
        """Tell in the channel where the frames will be."""
        if self._saving:
            self._folder.mkdir(parents=True, exist_ok=True)
        if self.lima2:
            self._prepare_lima2()
        else:
            self._prepare_lima1()

    def _prepare_lima2(self) -> None:
        if not self._saving:
            return
        self.channel._lima_info.update(
            {
                "file_format": "hdf5",
                "frame_per_acquisition": self._n_frames,
                "frame_per_file": self._per_file,
                "path_template": "{filename_prefix}_{filename_rank}_{file_number:05d}"
                "{filename_suffix}",
                "data_path": self._dataset,
                "directory": str(self._folder),
                "rank": 0,
                "suffix": ".h5",
                "prefix": self._prefix,
            }
        )

    def _prepare_lima1(self) -> None:
        number = prepare_next_lima_acquisition(get_default_data_store(), _SERVER)
        self.channel.configure(
            dtype=np.uint16,
            shape=_SHAPE,
            server_url=_SERVER,
            buffer_max_number=_BUFFER,
            frames_per_acquisition=self._n_frames,
            acquisition_offset=number,
        )
        if self._saving:
            suffix = "edf" if self._edf else "h5"
            self.channel.configure_saving(
                file_offset=0,
                frames_per_file=self._per_file,
                file_format="edf" if self._edf else "hdf5",
                file_path=f"{self._folder}/{self._prefix}%04d.{suffix}",
                data_path=None if self._edf else self._dataset,
            )

    def start(self) -> None:
        """Say that there are no frames yet."""
        self._emit()

    def trigger(self) -> None:
        """Take a frame."""
        self.trigger_slaves()
        self._n_done += 1
        if self._n_done % _EMIT_EVERY == 0 or self._n_done == self._n_frames:
            self._emit()

    def wait_ready(self) -> None:
        """Ready at once."""

    def stop(self) -> None:
        """Write the files of all frames that were taken."""
        if self._n_done:
            if self._saving:
                self._save()
            self._emit()

    def _emit(self) -> None:
        last = self._n_done - 1
        if self.lima2:
            status: dict[str, Any] = {
                "acq_uuid": self._acquisition,
                "nb_frames_acquired": self._n_done,
                "nb_frames_xferred": self._n_done,
            }
        else:
            status = {"last_index": last, "last_index_saved": last if self._saving else -1}
        self.channel.emit(status)

    def _frame(self, number: int) -> np.ndarray:
        pixels = np.arange(np.prod(_SHAPE)).reshape(_SHAPE)
        return (pixels + number).astype("uint16")

    def _save(self) -> None:
        for file_number, first in enumerate(range(0, self._n_done, self._per_file)):
            frames = range(first, min(first + self._per_file, self._n_done))
            if self._edf:
                self._save_edf(f"{file_number:04d}.edf", frames)
            else:
                self._save_hdf5(
                    f"_0_{file_number:05d}.h5" if self.lima2 else f"{file_number:04d}.h5", frames
                )

    def _save_hdf5(self, name: str, frames: range) -> None:
        shape = (1, *_SHAPE) if self.lima2 else _SHAPE
        # An acquisition that is aborted leaves the rest of its last file empty.
        n_frames = min(self._per_file, self._n_frames - frames.start)
        with h5py.File(self._folder / f"{self._prefix}{name}", "w") as file:
            dataset = file.create_dataset(
                self._dataset, (n_frames, *shape), "uint16", chunks=(1, *shape), compression="gzip"
            )
            for place, number in enumerate(frames):
                dataset[place] = self._frame(number)

    def _save_edf(self, name: str, frames: range) -> None:
        first, *others = frames
        image = fabio.edfimage.EdfImage(data=self._frame(first), header={"frame": str(first)})
        for number in others:
            image.append_frame(data=self._frame(number), header={"frame": str(number)})
        image.write(str(self._folder / f"{self._prefix}{name}"))
