"""A short campaign of damaged files, and whether its watch sees what it must see."""

import json
import mmap
import os
import pickle
import re
import time

import pytest

from fuzz import watch
from fuzz.campaign import Bench, run_reader, scratch_folder
from fuzz.command import main
from fuzz.readers import READERS, Reader
from fuzz.trees import Payload
from hypernerf.types import InputError


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_is_read_or_refused_and_does_no_more(reader):
    outcomes = list(run_reader(reader, 0, range(15)))
    assert [(o.case, o.faults) for o in outcomes if o.faults] == [] and [o.case for o in outcomes] == list(range(15))
    assert reader.name == "render-cache" or any(o.answer != "read" for o in outcomes)


def _refuse(folder):
    raise InputError("it is bad")


def _swallow(folder):
    try:
        time.sleep(5)
    except BaseException:
        pass


def _fill(folder):
    with mmap.mmap(-1, 64 << 20) as fresh:  # mapped, since an allocation may reuse memory that an earlier test freed
        fresh.write(b"x" * len(fresh))


MISDEEDS = {
    "opens": (lambda folder: open(folder / ".." / "outside.txt").close(), "open .*outside.txt"),
    "writes": (lambda folder: open("elsewhere", "w").close(), "open .*elsewhere"),
    "starts": (lambda folder: os.system("true"), "started os.system"),
    "runs": (lambda folder: pickle.loads(pickle.dumps(Payload())), "ran what the file told it"),
    "hangs": (lambda folder: time.sleep(5), "hung for"),
    "hangs, and hides it": (_swallow, "hung for"),
    "fills": (_fill, "filled"),
    "dies": (lambda folder: os._exit(3), "ended its process .exit code 3"),
    "raises": (lambda folder: {}["x"], "KeyError"),
    "names nothing": (_refuse, "names no file"),
}


@pytest.mark.parametrize("how", MISDEEDS)
def test_the_watch_sees(how, monkeypatch):
    misdeed, seen = MISDEEDS[how]
    monkeypatch.setattr(watch, "SECONDS", 0.3)
    monkeypatch.setattr(watch, "MEGABYTES", 32)

    def read(folder):
        if (folder / "a.txt").read_text() != "good":
            misdeed(folder)

    reader = Reader(how, lambda folder: (folder / "a.txt").write_text("good"), read, ("a.txt",))
    monkeypatch.setattr("fuzz.campaign.damaged", lambda tree, random, given: {"a.txt": b"bad"})
    (outcome,) = run_reader(reader, 0, [4])
    assert any(re.search(seen, fault) for fault in outcome.faults), outcome


def test_an_unreadable_seed_is_no_campaign():
    with pytest.raises(RuntimeError, match="its undamaged input"):
        list(run_reader(Reader("none", lambda folder: None, _refuse), 0, range(3)))


def test_a_case_is_found_again_by_its_number(tmp_path, capsys):
    assert main(["--cases", "41", "--seed", "5", "--readers", "config", "camera-path", "--json", str(tmp_path / "f.json")]) == 0
    result = json.loads((tmp_path / "f.json").read_text())
    assert result["seed"] == 5 and [f["cases"] for f in result["readers"].values()] == [21, 20] and not result["findings"]
    reader = next(reader for reader in READERS if reader.name == "config")
    with scratch_folder() as scratch:
        bench = Bench(reader, scratch, 5)
        cases = [bench.case(number) for number in range(21)]
        texts = {number: case["config.yaml"] for number, case in enumerate(cases) if isinstance(case.get("config.yaml"), bytes)}
    number, text = next(iter(texts.items()))
    assert main(["--seed", "5", "--replay", "config", str(number), "--keep", str(tmp_path / "kept")]) == 0
    assert (tmp_path / "kept" / "config.yaml").read_bytes() == text
    assert len(set(texts.values())) > 15 and "as documented" in capsys.readouterr().out
    with pytest.raises(InputError, match="unknown reader"):
        main(["--replay", "magic", "3"])
