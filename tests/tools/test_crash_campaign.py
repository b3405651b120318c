"""A short campaign of kills, and that it would see what it looks for."""

import json

import pytest

from crashes.campaign import Ledger
from crashes.life import Event
from tests.conftest import run_tool


def test_six_kills_lose_nothing(tmp_path):
    code, output, error = run_tool("crash_campaign", "--kills", 6, "--seed", 1, "--json", tmp_path / "out.json")
    assert code == 0, output + error
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["kills"] == 6 and figures["kills_amid_writes"] >= 1 and figures["last_step"] > 0
    assert figures["same_as_uninterrupted"] and figures["checkpoints_compared"] > 0
    assert len(output.strip().splitlines()) == 1


HEALTHY = [
    Event("saving", 5), Event("saved", 5, "five"), Event("resumed", 5, "five"), Event("saving", 10), Event("resumed", 10, "ten"),
    Event("saved", 10, "ten"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("resumed", 10, "ten"), (0, 0, 0, 0)),
        (Event("resumed", 5, "five"), (5, 0, 0, 0)),  # a step back
        (Event("resumed", 10, "other"), (0, 1, 0, 0)),  # another state than was saved
        (Event("saved", 10, "other"), (0, 1, 0, 0)),  # the same steps with another end
        (Event("invalid", text="skipped"), (0, 0, 1, 0)),
        (Event("failed", text="an error"), (0, 0, 0, 1)),
    ],
)
def test_the_ledger_sees_what_goes_wrong(event, expected):
    ledger = Ledger()
    ledger.note([*HEALTHY, event])
    found = (ledger.lost_steps, ledger.corrupt_loads, ledger.invalid_checkpoints, len(ledger.failures))
    assert found == expected
