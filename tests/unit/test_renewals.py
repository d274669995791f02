"""A value that was pushed is pushed again, soon while it is new, seldom afterwards."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tango_saver.control.renewals import Renewals

_STEP_S = 0.25


def _pushes(changes: dict[str, list[int]], n_steps: int) -> dict[str, list[int]]:
    """The steps at which each value is pushed, for a publisher that looks at every step.

    Args:
        changes: name -> steps at which its value is another one; all are new at step 0.
        n_steps: how long.
    """
    renewals = Renewals()
    pushed: dict[str, list[int]] = {name: [] for name in changes}
    for step in range(n_steps):
        now = 100.0 + step * _STEP_S
        for name, steps in changes.items():
            is_new = step == 0 or step in steps
            if is_new or renewals.is_due(name, now):
                pushed[name].append(step)
            if is_new:
                renewals.changed(name, now)
        renewals.done(now)
    return pushed


def _gaps_s(steps: list[int]) -> list[float]:
    return [(after - before) * _STEP_S for before, after in pairwise(steps)]


def test_what_has_changed_is_pushed_again_every_second_for_a_while_and_then_every_ten() -> None:
    pushed = _pushes({"State": []}, 200)["State"]
    assert _gaps_s(pushed) == [1.0] * 10 + [10.0] * 3


def test_what_has_not_changed_waits_for_its_turn() -> None:
    pushed = _pushes({"State": [], "LastFile": [100]}, 160)
    assert [step for step in pushed["LastFile"] if step >= 100][:4] == [100, 104, 108, 112]
    assert max(_gaps_s(pushed["State"])) > 5.0
    assert len(pushed["State"]) < len(pushed["LastFile"])


@given(
    st.dictionaries(
        st.sampled_from(["State", "Status", "LastFile"]),
        st.lists(st.integers(1, 300)),
        min_size=1,
    )
)
def test_nobody_shows_an_old_value_for_long(changes: dict[str, list[int]]) -> None:
    n_steps = 360
    for name, pushed in _pushes(changes, n_steps).items():
        for change in changes[name]:
            again = [step for step in pushed if step > change]
            assert (again[0] - change) * _STEP_S <= 1.0
        assert max(_gaps_s([*pushed, n_steps])) <= 11.0
