"""The members of the family as commands, and what they count."""

import json

import pytest
import torch

from hypernerf.cli.session import load_run
from hypernerf.export.chart import line_chart
from hypernerf.models import Generator
from hypernerf.types import InputError, RenderOutput
from members import MEMBERS
from members import main as family
from members.compression import Kind, smaller_from
from members.interpolation import nearness, softness, ways
from tests.conftest import tiny

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_each_member_teaches_with_an_example(capsys):
    for name in MEMBERS:
        with pytest.raises(SystemExit, match="0"):
            family([name, "--help"])
        assert f"python tools/family.py {name} " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        family(["--help"])
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in MEMBERS)
    with pytest.raises(InputError, match="uncles"):
        family(["uncles"])


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (Kind("a", 191_140, 1713.0), Kind("b", 0, 53_592.0)), (Kind("a", 100, 10.0), Kind("b", 0, 10.0)),
        (Kind("a", 0, 5.0), Kind("b", 3, 6.0)), (Kind("a", 100, 9.0), Kind("b", 0, 10.0)),
    ],
)  # fmt: skip
def test_a_kind_is_smaller_from_the_first_number_of_scenes_that_says_so(kind, other):
    counted = next((n for n in range(1, 1000) if kind.total(n) < other.total(n)), None)
    assert smaller_from(kind, other) == counted


def test_softness_and_nearness_by_hand():
    opacity = torch.tensor([[[0.0, 1.0], [0.5, 0.01]]])
    view = RenderOutput(torch.zeros(1, 2, 2, 3), opacity, torch.zeros(1, 2, 2))
    assert softness(view) == pytest.approx((0 + 1) / 2)  # of the full pixel and the half one; the others are empty
    known = torch.stack([torch.full((2, 4, 4, 3), 0.5), torch.full((2, 4, 4, 3), 0.9)])
    assert nearness(torch.full((2, 4, 4, 3), 0.8), known) == pytest.approx(20.0, abs=1e-3)  # off by 0.1 of the second


def test_both_ways_between_scenes_have_the_same_ends(stored):
    torch.manual_seed(0)
    found = ways(Generator(tiny().generator).eval(), stored[:2], [0, 2], 5)
    for name, value in found["code"][0].tensors.items():
        first, last, middle = (found["weights"][i].tensors[name] for i in (0, -1, 2))
        assert torch.equal(first, value) and torch.equal(last, found["code"][-1].tensors[name])
        assert torch.allclose(middle, (first + last) / 2, atol=1e-6)
    between = torch.stack([found[space][2].tensors["planes"] for space in ("code", "weights")])
    assert not torch.allclose(between[0], between[1], atol=1e-6)  # the hypernetwork is not linear


def test_a_chart_draws_lines_where_their_points_are():
    picture = line_chart({"a": [(1, 1.0), (10, 2.0), (100, 3.0)]}, "x", "y", log_x=True)
    blue = [(x, y) for x in range(picture.width) for y in range(40, picture.height) if picture.getpixel((x, y)) == (31, 99, 181)]
    assert blue[0][0] < 110 and blue[-1][0] > 570 and blue[0][1] > 300 > 120 > blue[-1][1]
    middle = [y for x, y in blue if x == (blue[0][0] + blue[-1][0]) // 2]
    assert abs(sum(middle) / len(middle) - (34 + 374) / 2) < 3  # logarithmic: the line is straight


def test_what_a_hypernetwork_buys_is_measured(sized_run, tmp_path):
    files = {name: tmp_path / name for name in ("b.png", "b.json", "b.gif")}
    family([
        "buys", str(sized_run), "--scenes", "2", "--steps", "4", "--views", "1", "2", "-o", str(files["b.png"]), "--json",
        str(files["b.json"]), "--video", str(files["b.gif"]),
    ])  # fmt: skip
    found = json.loads(files["b.json"].read_text())
    assert [row["views"] for row in found["regularization"]] == [1, 1, 1, 2, 2, 2]
    for row in found["regularization"]:
        assert row["gap (dB)"] == pytest.approx(row["given views (dB)"] - row["unseen views (dB)"])
    whole, delta, _ = found["compression"]
    assert whole["MB of 100"] == pytest.approx(whole["bytes a scene"] / 1e4) and delta["bytes a scene"] < whole["bytes a scene"]
    assert [row["between"] for row in found["rows"]] == ["code", "weights"]
    assert all(path.stat().st_size > 1000 for path in files.values())
    with pytest.raises(InputError, match="at least 2"):
        family(["buys", str(sized_run), "--scenes", "1"])


def test_scores_count_what_is_kept_and_written(sized_run, tmp_path):
    family(["scores", str(sized_run), "--json", str(tmp_path / "s.json")])
    (row,) = json.loads((tmp_path / "s.json").read_text())["rows"]
    model = load_run(sized_run).generator
    assert row["generator"] == sum(p.numel() for p in model.hypernetwork.parameters())
    assert row["written"] == sum(torch.Size(s).numel() for s in model.config.field.param_shapes.values())
    assert 3 < row["dB, 1 view"] < 40
