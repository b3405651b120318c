"""The benchmark: what it plans, the commands it gives, how it is stopped and taken up, and what it makes of the figures."""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trimesh

from hypernerf.cli import evaluate, fit
from hypernerf.cli.common import parse_config
from hypernerf.config import apply_overrides, load_yaml
from hypernerf.interrupts import stopping_on_signals
from hypernerf.training import Scores
from hypernerf.types import InputError
from peers.command import PEERS, _parse
from quality.command import CONFIGS, _alone, main
from quality.plan import DATASETS, METHODS, Budget, Row, budget_of, method_of, planned
from quality.record import Record, Scored, gather, known_records, read_records
from quality.table import BEGIN, END, markdown, write_table
from quality.work import Settings, Task, held_out_root, perform, tasks_of

TINY = """
source: {name: procedural, train_scenes: 4, val_scenes: 1, test_scenes: 2, views: 7, size: 16}
encoder: {image: {image_size: 16, channels: [8, 16]}, set: {width: 32}, lift: {resolution: 4, channels: 8}}
hypernetwork: {latent: 16, width: 32, rank: 2}
field: {width: 16, depth: 1, position_frequencies: 2, plane_resolution: 6, volume_resolution: 4}
train: {samples: 8, validations: 1, minutes: 1, threads: 1, batch: {scenes: 2, rays: 16}}
evaluate: {context_views: [1, 3], max_target_views: 2, meshes: 1}
render: {samples: 8, grid: 16}
"""


def names(*patterns):
    return [row.name for row in planned([0, 1], patterns)]


def test_ours_is_planned_for_all_seeds_and_others_for_one_where_they_are_compared():
    every = planned([4, 7])
    assert {row.dataset for row in every} == set(DATASETS) == {path.stem for path in CONFIGS.glob("*.yaml")}
    for dataset, compared in DATASETS.items():
        here = [row for row in every if row.dataset == dataset]
        assert [row.seed for row in here if row.method == "ours"] == [4, 7]
        others = {row.method for row in here if row.method != "ours"}
        assert others == (set(PEERS) if compared else set())
        assert all(row.seed == 4 for row in here if row.method != "ours")


def test_rows_are_chosen_by_patterns_and_an_unknown_one_is_named():
    assert names("cars_64") == ["cars_64/ours/0", "cars_64/ours/1"]
    assert names("chairs_*/ours") == ["chairs_64/ours/0", "chairs_64/ours/1", "chairs_128/ours/0", "chairs_128/ours/1"]
    assert names("chairs_128/pixel-nerf") == ["chairs_128/pixel-nerf/0"]  # not usual, but asked for
    assert names("lamps_64/trans-inr/1", "lamps_64/ours/0") == ["lamps_64/ours/0", "lamps_64/trans-inr/1"]
    assert len(names("chairs_64")) == 2 + len(PEERS)
    with pytest.raises(InputError, match="--only sofas: no such row: data sets are chairs_64"):
        planned([0], ["sofas"])


def test_budgets_are_minutes_alike_or_steps_where_they_are_given():
    assert budget_of(method_of("pixel-nerf"), 30, {}) == Budget(30)
    assert budget_of(method_of("pixel-nerf"), 30, {"pixel-nerf": 700, "ours": 9}) == Budget(30, 700)
    assert budget_of(method_of("scratch"), 30, {}).minutes is None
    assert len({Budget(30).name, Budget(180).name, Budget(30, 700).name, Budget(None, 700).name}) == 4


@pytest.mark.parametrize("row", planned([3]), ids=lambda row: row.name)
@pytest.mark.parametrize("budget", [Budget(12.5), Budget(12.5, 70)], ids=["minutes", "steps"])
def test_the_commands_are_understood_by_the_tools_they_start(row, budget, tmp_path):
    settings = Settings(tmp_path, CONFIGS, Path("clones"), adapt=9, threads=5)
    train, *rest = tasks_of(row, budget, settings)
    tool, arguments = Path(train.command[1]).stem, list(train.command[2:])
    if row.method == "ours":
        config, _, folder, _, *overrides = arguments
        assert tool == "fit_scenes" and Path(folder) == train.folder
        _, experiment = parse_config(apply_overrides(load_yaml(config), overrides), config)
        given = experiment.train
        assert (given.seed, given.threads) == (3, 5)
        assert (given.minutes, given.steps) == ((12.5, 200_000) if budget.steps is None else (None, 70))
        assert [task.name for task in rest] == ["adapted_9"]
        return
    options = _parse(arguments)
    assert tool == "compare_peers" and rest == [] and options.resume
    assert (options.minutes, options.steps) == ((12.5, None) if budget.steps is None else (None, 70))
    assert (options.experiment.train.seed, options.experiment.train.threads) == (3, 5)
    assert options.settings.learning_rate == method_of(row.method).learning_rate
    assert set(options.counts) <= set(options.experiment.evaluate.context_views)  # else its target views would be others
    assert len(options.counts) == 1 or options.kind.any_count or method_of(row.method).models == len(options.counts)
    assert (options.repository is None) == (options.kind.repository is None)


def test_a_pack_that_was_held_out_is_scored_where_it_lies(tmp_path):
    config = tmp_path / "meshes_64.yaml"
    config.write_text(f"source: {{name: srn, root: {tmp_path / 'set'}}}\nevaluate: {{context_views: [1]}}")
    assert held_out_root(config) is None
    (tmp_path / "set-held-out_test").mkdir()
    root = held_out_root(config)
    assert root == str(tmp_path / "set-held-out")
    settings = Settings(tmp_path, tmp_path, Path("clones"))
    _, second = tasks_of(Row("meshes_64", "ours", 0), Budget(1), settings)
    assert second.name == "held_out" and root in second.command
    (train,) = tasks_of(Row("meshes_64", "trans-inr", 0), Budget(1), settings)
    assert _parse(train.command[2:]).also == root


def test_an_interrupt_reaches_the_job_once_and_it_can_save(tmp_path):
    job = (
        "import signal, sys, time; seen = []\n"
        "for name in ('SIGTERM', 'SIGINT'): signal.signal(getattr(signal, name), lambda *_, name=name: seen.append(name))\n"
        "open('ready', 'w').close()\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3); open('saved', 'w').write(' '.join(seen)); sys.exit(130)"
    )
    task = Task("train", tmp_path, (sys.executable, "-c", f"import os; os.chdir({str(tmp_path)!r})\n{job}"))

    def interrupt() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with _alone(tmp_path) as lock, stopping_on_signals():
        thread.start()
        assert perform(task, "abc", lock) == 130
    thread.join()
    assert (tmp_path / "saved").read_text() == "SIGTERM" and not task.done


def test_a_second_benchmark_in_a_folder_waits_for_no_one(tmp_path):
    with _alone(tmp_path), pytest.raises(InputError, match="at work there"), _alone(tmp_path):
        pass
    with _alone(tmp_path):
        pass


def scored(psnr: float, count: str = "3") -> Scored:
    return Scored(32, {count: Scores(psnr, psnr / 100, None)})


def record(method: str, seed: int, psnr: float, minutes: float = 30.0, **more) -> Record:
    values = {"steps": (100 + seed,), "minutes": (minutes,), "learning_rate": 1e-3, "test": scored(psnr), **more}
    return Record(Row("chairs_64", method, seed), Budget(minutes), "a machine", "2026-01-02", "0123456789ab", **values)


def test_tables_give_mean_and_spread_over_seeds_and_mark_the_best():
    text = markdown([
        record("ours", 0, 20.0, mean_field=Scores(14.0, 0.5, None)),
        record("ours", 1, 21.0),
        record("pixel-nerf", 0, 20.6),
    ])  # fmt: skip
    assert "| ours, 2 seeds | 100 steps in 30 min | 20.50 ± 0.50 / 0.205 ± 0.005 |" in text.replace("100.5", "100")
    assert "| pixel-nerf | 100 steps in 30 min, learning rate 0.001 | **20.60** / 0.206 |" in text
    assert "| mean field |  | 14.00 / 0.500 |" in text and "LPIPS" not in text
    assert "2026-01-02, a machine, commit 012345678" in text


def test_budgets_and_held_out_packs_have_tables_of_their_own():
    short, long = record("ours", 0, 20.0), record("ours", 0, 23.0, 180.0, held_out=scored(17.25))
    fixed = replace(record("scratch", 0, 22.0), budget=Budget(None, 50))
    text = markdown([short, long, fixed])
    titles = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("###")]
    first = "chairs_64, 180 minutes of training"
    assert titles == [first, f"{first}: the pack that was held out", "chairs_64, 30 minutes of training"]
    bold = [line for line in text.splitlines() if "**" in line]  # scratch is beside both, and better than the shorter
    assert [line.split("**")[1] for line in bold] == ["23.00", "17.25", "22.00"]


def test_adaptation_stands_beside_the_forward_pass_on_the_same_scenes():
    adapted = replace(record("ours", 0, 20.0), unadapted=scored(20.5), adapted=scored(24.0), adapt_steps=200)
    text = markdown([adapted])
    assert (
        "| one forward pass | 100 steps in 30 min | 20.50 / 0.205 |" in text and "| --adapt 200 |  | **24.00** / 0.240 |" in text
    )


def test_a_table_goes_between_its_marks_and_nowhere_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}\nold\n{END}\nafter\n")
    for text in ("new", "newer"):
        write_table(page, text)
        assert page.read_text() == f"# Before\n{BEGIN}\n\n{text}\n{END}\nafter\n"
    (tmp_path / "other.md").write_text("mine")
    with pytest.raises(InputError, match="nowhere to put the table"):
        write_table(tmp_path / "other.md", "new")
    assert (tmp_path / "other.md").read_text() == "mine"


def at_once(task: Task, commit: str, lock: int) -> int:
    """`perform` without a process of its own, which would take most of the time."""
    tool = {"fit_scenes": fit.main, "evaluate": evaluate.main}[Path(task.command[1]).stem]
    code = tool(task.command[2:]) or 0
    task.mark.write_text(json.dumps({"commit": commit, "date": "2026-01-02", "machine": "this"}))
    return code


@pytest.mark.usefixtures("_one_thread")
def test_rows_are_run_once_and_their_figures_gathered(tmp_path, capsys, monkeypatch):
    """Boxes are drawn, one pack held out; ours is trained, scored and adapted. The second time nothing is left to do."""
    monkeypatch.setattr("quality.command.perform", at_once)
    monkeypatch.setattr("hypernerf.cli.fit.keep_freed_memory", lambda: None)  # it would outlast this test
    (tmp_path / "configs").mkdir()
    source = f"source: {{name: srn, root: {tmp_path / 'set'}, radius: 1.0}}"
    (tmp_path / "configs" / "meshes_64.yaml").write_text(TINY.replace(TINY.splitlines()[1], source))
    for number, pack in enumerate("aaaab"):
        (tmp_path / "in" / pack).mkdir(parents=True, exist_ok=True)
        trimesh.creation.box((1, 1 + number, 1)).export(tmp_path / "in" / pack / f"box{number}.ply")
    command = [
        "--only", "meshes_64/ours/0", "meshes_64/trans-inr", "--steps", "ours=3", "--adapt", "2", "--adapt-scenes", "1",
        "--out", str(tmp_path / "runs"), "--configs", str(tmp_path / "configs"), "--json", str(tmp_path / "q.json"),
        "--table", str(tmp_path / "q.md"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="meshes_64: its meshes are not drawn yet: give --meshes"):
        main(command)
    assert main([*command, "--meshes", str(tmp_path / "in"), "--hold-out", "b"]) == 0
    assert "meshes_64/trans-inr/0: left out, give --peers" in capsys.readouterr().out
    (ours,) = read_records(tmp_path / "q.json")
    assert ours.row == Row("meshes_64", "ours", 0) and ours.steps == (3,) and ours.budget == Budget(30.0, 3)
    assert set(ours.test.context_views) == {"1", "3"} and ours.test.mesh_kind == "masks" and ours.held_out.scenes == 1
    assert ours.adapted.scenes == ours.unadapted.scenes == 1 and set(ours.adapted.context_views) == {"3"}
    metrics = json.loads((tmp_path / "runs" / "30min_3steps" / "meshes_64" / "ours_0" / "metrics.json").read_text())
    assert ours.test.context_views["3"].psnr == metrics["context_views"]["3"]["psnr"]
    assert f"{ours.held_out.context_views['1'].psnr:.2f}" in (tmp_path / "q.md").read_text()
    monkeypatch.setattr("quality.command.perform", lambda *_: pytest.fail("was done already"))
    for again in (command, [part for part in command if part not in ("--adapt", "2")]):  # what was measured is not forgotten
        assert main(again) == 0 and read_records(tmp_path / "q.json") == [ours]
    main([*command, "--list"])
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[-2:]] == ["done", "--peers"]


def test_what_a_peer_measured_is_gathered(tmp_path):
    """As tools/compare_peers.py writes it for a method that needs a model for each number of views."""
    scores = {count: {"psnr": 15.0 + int(count), "ssim": 0.5, "lpips": None} for count in ("1", "3")}
    models = {"1": {"steps": 70, "minutes": 9.5}, "3": {"steps": 60, "minutes": 9.25}}
    metrics = {"scenes": 32, "context_views": scores, "models": models, "commit": "fedcba", "also": None}
    metrics["also"] = {"scenes": 51, "context_views": {"3": {"psnr": 12.5, "ssim": 0.25, "lpips": None}}}
    row, budget, settings = Row("chairs_64", "ginr-ipc", 0), Budget(9.5), Settings(tmp_path, CONFIGS)
    (task,) = tasks_of(row, budget, settings)
    task.folder.mkdir(parents=True)
    (task.folder / "metrics.json").write_text(json.dumps(metrics))
    task.mark.write_text(json.dumps({"commit": "0123", "date": "2026-01-02", "machine": "this"}))
    found = gather(row, budget, settings)
    assert found.steps == (70, 60) and found.minutes == (9.5, 9.25) and found.peer_commit == "fedcba"
    assert found.learning_rate == 1e-3 and found.test.context_views["3"].psnr == 18 and found.held_out.scenes == 51
    assert (found.commit, found.date, found.machine) == ("0123", "2026-01-02", "this")
    assert known_records(tmp_path) == [found]


def test_every_method_can_be_named():
    assert [method.name for method in METHODS] == ["ours", *PEERS]
    with pytest.raises(InputError, match="METHOD=N"):
        main(["--steps", "nobody=3"])
