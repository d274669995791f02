"""Plans the files of one scan: when it begins, while it runs, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tango_saver.engine.attempt import Attempt
from tango_saver.engine.messages import SaveScan
from tango_saver.engine.tally import problems_of
from tango_saver.layout import (
    LayoutOptions,
    Member,
    Moment,
    choose_layout,
    plan_scan,
    with_earlier_map,
)
from tango_saver.layout.report import report_nodes
from tango_saver.model.plan import FilePlan
from tango_saver.model.scan import ScanDescription
from tango_saver.model.settings import SaverSettings


def layout_options(settings: SaverSettings) -> LayoutOptions:
    """What the settings say of the form of files."""
    return LayoutOptions(
        keepshape=settings.keepshape,
        multivalue_positioners=settings.multivalue_positioners,
        edf_pixels=settings.edf_pixels,
        checksums=settings.checksums,
    )


class Planner:
    """Makes each plan anew, from the newest description.

    Args:
        order: which scan, and where it really goes.
        settings: of the saver.
    """

    def __init__(self, order: SaveScan, settings: SaverSettings) -> None:
        self._order = order
        self._settings = settings
        self._layout = settings.layout
        self._options = layout_options(settings)

    @property
    def shows_subscans(self) -> bool:
        """Whether an entry leads to those of its sub-scans; a map of the session says so itself."""
        return self._layout != "h5map"

    def choose_layout(self, description: ScanDescription) -> str:
        """Settle for one layout; a sentence if it is not the wanted one, else empty."""
        self._layout, sentence = choose_layout(self._settings.layout, description)
        return sentence

    def last_description(
        self, last: ScanDescription, earlier: ScanDescription | None
    ) -> ScanDescription:
        """The last description, with what only an earlier one had of the session's map."""
        if self._layout == "h5map":
            return with_earlier_map(last, earlier or last)
        return last

    def running(self, description: ScanDescription, members: tuple[Member, ...]) -> FilePlan:
        """The plan while the scan runs."""
        roots = self._settings.allowed_roots
        moment = Moment("RUNNING", _now(), allowed_roots=roots, members=members)
        return self._plan(description, moment)

    def final(self, description: ScanDescription, end_reason: str, attempt: Attempt) -> FilePlan:
        """The plan at the end, with the report.

        Args:
            description: the last one.
            end_reason: why the saving ends; empty if because BLISS has closed the scan.
            attempt: what became of it.
        """
        channels = attempt.channel_reports()
        problems = problems_of(channels)
        now = _now()
        moment = Moment(
            "FAILED" if attempt.error or problems else "SUCCEEDED",
            now,
            end_time=now,
            end_reason=end_reason,
            n_points=attempt.files.lengths(),
            warnings=(
                *attempt.warnings,
                *attempt.channels.warnings(),
                *problems,
                *attempt.files.lost,
                *attempt.files.absent,
                *filter(None, [attempt.error]),
            ),
            allowed_roots=self._settings.allowed_roots,
            members=attempt.channels.members,
        )
        plan = self._plan(description, moment)
        return replace(plan, nodes=(*plan.nodes, *report_nodes(plan, self._order.key, channels)))

    def _plan(self, description: ScanDescription, moment: Moment) -> FilePlan:
        """The plan for where the scan really goes."""
        elsewhere = bool(self._order.wanted)
        if elsewhere and self._layout == "nexus":
            # Links to other files are relative to the folder of this one.
            description = replace(description, target=self._order.target)
        plan = plan_scan(self._layout, description, moment, self._options)
        return replace(plan, target=self._order.target) if elsewhere else plan


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat()
