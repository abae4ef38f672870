"""Lifecycle events, as lines of a log."""

import pytest

from pellucid.lifecycle import Kind, LifecycleEvent


def test_an_event_survives_the_log() -> None:
    event = LifecycleEvent(Kind.PROGRESS, "models", "loaded one", 1, 2)
    assert LifecycleEvent.from_json(event.to_json()) == event


@pytest.mark.parametrize("line", ["", "text", "[]", "1", "{}", '{"kind": "nope"}'])
def test_another_line_is_no_event(line: str) -> None:
    with pytest.raises(ValueError):
        LifecycleEvent.from_json(line)
