"""What is known of one attempt to save a scan, and what is told of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from tango_saver.engine.channels import Channels
from tango_saver.engine.messages import SaveScan
from tango_saver.engine.patient_reader import PatientReader
from tango_saver.engine.safe_moment import SafeMoment
from tango_saver.engine.scan_files import ScanFiles
from tango_saver.engine.tally import problem_sentence
from tango_saver.model.plan import FilePlan
from tango_saver.model.report import ChannelReport, SavingState, ScanProgress, ScanReport
from tango_saver.model.scan import ScanDescription


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt, kept up to date by its ``ScanWriter``."""

    order: SaveScan
    files: ScanFiles
    channels: Channels
    warnings: list[str]
    """What a next attempt has to say as well."""
    reader: PatientReader | None = None
    safe: SafeMoment = field(default_factory=SafeMoment)
    description: ScanDescription | None = None
    """The newest."""
    plan: FilePlan | None = None
    """The newest; None until the files are open."""
    end_reason: str = ""
    error: str = ""
    """Why the scan is not, or not wholly, saved; the first error counts."""
    saved_before: tuple[ChannelReport, ...] | None = None
    """The channels as the file has them, of a scan that was saved completely before."""

    def fail(self, error: Exception) -> None:
        """Something went wrong that the report has to say; the first counts."""
        self.error = self.error or str(error)

    @property
    def lasting_warnings(self) -> tuple[str, ...]:
        """What a next attempt to save the scan has to say as well."""
        return tuple(dict.fromkeys((*self.warnings, *self.files.warnings())))

    def progress(self) -> ScanProgress:
        """Where it stands."""
        order, plan, files, reader = self.order, self.plan, self.files, self.reader
        return ScanProgress(
            key=order.key,
            session=order.session,
            name=order.name,
            number=order.number,
            state=SavingState.SAVING if files.opened else SavingState.WAITING,
            target=order.target,
            entries=plan.entries if plan is not None and files.opened else (),
            points_saved=files.rows_visible,
            points_expected=self._points_expected(),
            bytes_saved=files.bytes_visible,
            lag_s=self._lag_s(),
            warnings=self._all_warnings(),
            error=(reader.trouble if reader is not None else "") or files.trouble,
            safe_until=self.safe.until,
            kept_s=reader.kept_s if reader is not None else math.inf,
            notice=reader.notice if reader is not None else "",
            started_at=order.started_at,
        )

    def report(self) -> ScanReport:
        """What became of the scan; to be asked when the files are released."""
        order = self.order
        channels = self.channel_reports()
        error = self.error or problem_sentence(channels) or "; ".join(self.files.lost)
        return ScanReport(
            key=order.key,
            session=order.session,
            name=order.name,
            number=order.number,
            state=SavingState.FAILED if error else SavingState.SAVED,
            target=order.target,
            entries=self._entries(),
            end_reason=self.end_reason,
            channels=channels,
            bytes_saved=self.files.bytes_appended,
            started_at=order.started_at,
            finished_at=time.time(),
            warnings=self._all_warnings(),
            error=error,
        )

    def channel_reports(self) -> tuple[ChannelReport, ...]:
        """Published, received and on disk, per channel."""
        return self.channels.reports() if self.saved_before is None else self.saved_before

    def _points_expected(self) -> int | None:
        n_points = self.description.n_points if self.description is not None else None
        if self.plan is None or n_points is None:
            return None
        return n_points * (len(self.plan.channels) + self.channels.n_by_reference)

    def _lag_s(self) -> float:
        if self.reader is not None and self.reader.trouble:
            return round(self.reader.silent_s, 1)
        since = self.files.dirty_since
        return round(time.monotonic() - since, 1) if since else 0.0

    def _all_warnings(self) -> tuple[str, ...]:
        found = [*self.warnings, *self.channels.warnings(), *self.files.warnings()]
        if self.description is not None:
            found += self.description.warnings
        if self.plan is not None:
            found += self.plan.warnings
        found += [f"channel {name}: {why}" for name, why in self.channels.problems().items()]
        return tuple(dict.fromkeys(found))

    def _entries(self) -> tuple[str, ...]:
        """Those in the file."""
        if self.files.begun or self.saved_before is not None:
            return self.plan.entries if self.plan is not None else self.files.entries
        return ()
