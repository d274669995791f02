from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.layout.metadata import add_mapping, attribute_value, static_value
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import ExternalLink, Group, Node, SoftLink, Value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab@>/.", max_size=4), inner)
    ),
    max_leaves=20,
)


def planned(mapping: dict[str, Any]) -> tuple[dict[str, Node], list[str]]:
    tree = EntryTree("1.1")
    add_mapping(tree, "/1.1/meta", mapping)
    return {node.path: node for node in tree.nodes()}, tree.warnings


def same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(np.array_equal(left, right))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (True, True),
        ("µ", "µ"),
        ("a\0b\ud800", "a\ufffdb\ufffd\ufffd\ufffd"),
        (2**63, np.array(2**63, np.uint64)),
        (2**64, "18446744073709551616"),
        ([1, 2], np.array([1, 2])),
        ([[1, 2.5], [3, None]], np.array([[1, 2.5], [3, math.nan]])),
        ([True, False], np.array([True, False])),
        (["a", "b"], ("a", "b")),
        ([[1, 2], [3]], "[[1, 2], [3]]"),
        ([1, "a"], '[1, "a"]'),
        ([2**62, 0.5], f"[{2**62}, 0.5]"),
        ([], np.zeros(0)),
    ],
)
def test_a_json_value_becomes_what_hdf5_can_store(value: Any, expected: Any) -> None:
    found = static_value(value)
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def test_null_is_nan() -> None:
    assert math.isnan(static_value(None))  # type: ignore[arg-type]


def test_lists_nested_deeper_than_hdf5_has_dimensions_are_text() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    assert static_value(nested) == "[" * 200 + "1" + "]" * 200


def test_an_attribute_that_is_too_large_for_its_place_is_text() -> None:
    assert isinstance(attribute_value(list(range(10_000))), str)
    assert isinstance(attribute_value(["a"] * 10_000), str)
    assert attribute_value(["a", "b"]) == ("a", "b")


@given(st.dictionaries(st.text("ab@>/.", max_size=4), JSON))
def test_any_mapping_is_a_tree_in_which_parents_come_before_children(
    mapping: dict[str, Any],
) -> None:
    tree = EntryTree("1.1")
    add_mapping(tree, "/1.1/meta", mapping)
    seen = {"/1.1"}
    for node in tree.nodes():
        parent, _, name = node.path.rpartition("/")
        assert parent in seen
        assert name not in ("", ".", "..")
        assert node.path not in seen
        seen.add(node.path)


def test_the_syntax_of_dicttonx_is_understood() -> None:
    nodes, warnings = planned(
        {
            "@NX_class": "NXsample",
            "@short_name": "s",
            "temperature": 295.3,
            "temperature@units": "K",
            "inner": {"value": 1},
            "inner@title": "deeper",
            "absolute>": "/1.1/elsewhere",
            "relative>": "inner/value",
            "external>": "other.h5::/2.1/x",
        }
    )
    assert nodes == {
        "/1.1/meta": Group("/1.1/meta", {"NX_class": "NXsample", "short_name": "s"}),
        "/1.1/meta/temperature": Value("/1.1/meta/temperature", 295.3, {"units": "K"}),
        "/1.1/meta/inner": Group(
            "/1.1/meta/inner", {"NX_class": "NXcollection", "title": "deeper"}
        ),
        "/1.1/meta/inner/value": Value("/1.1/meta/inner/value", 1),
        "/1.1/meta/absolute": SoftLink("/1.1/meta/absolute", "/1.1/elsewhere"),
        "/1.1/meta/relative": SoftLink("/1.1/meta/relative", "/1.1/meta/inner/value"),
        "/1.1/meta/external": ExternalLink("/1.1/meta/external", "other.h5", "/2.1/x"),
    }
    assert warnings == []


def test_a_link_to_nowhere_and_an_attribute_of_nothing_are_told() -> None:
    _, warnings = planned({"x": 1, "lost>": "not/there", "absent@units": "mm"})
    assert warnings == [
        "/1.1/meta/absent does not exist, its attribute units is not saved",
        "the link /1.1/meta/lost points at not/there, which is not in the entry",
    ]


def test_mappings_without_content_are_dropped() -> None:
    assert planned({"@NX_class": "NXnote", "inner": {"@a": 1, "deeper": {}}}) == ({}, [])


def test_keys_that_meet_are_both_saved() -> None:
    nodes, warnings = planned({"a/b": 1, "a_b": 2})
    assert nodes["/1.1/meta/a_b"] == Value("/1.1/meta/a_b", 1)
    assert nodes["/1.1/meta/a_b_2"] == Value("/1.1/meta/a_b_2", 2)
    assert warnings == ["/1.1/meta/a_b is taken, saved as a_b_2"]


def test_mappings_nested_too_deep_for_groups_are_text() -> None:
    mapping: dict[str, Any] = {"x": 1}
    for _ in range(200):
        mapping = {"m": mapping}
    nodes, _ = planned(mapping)
    assert any(isinstance(node, Value) and '{"x": 1}' in str(node.value) for node in nodes.values())
