"""The processes that load scenes end with the one they work for."""

import os
import subprocess
import sys
import time

import pytest

from hypernerf.types import InputError
from scenes.loading import load_split
from scenes.source import SourceConfig

CODE = """
import os, signal, time
from scenes.loading import load_split
from scenes.source import SourceConfig

class Slow:
    def scene_ids(self, split):
        return [str(i) for i in range(40)]

    def load(self, name):
        print(os.getpid(), flush=True)
        time.sleep(600)

next(load_split(Slow(), SourceConfig(), "train", workers=2))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="asks Linux which processes there are")
def test_no_process_is_left_when_the_main_one_is_killed():
    main = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True)
    workers = {int(main.stdout.readline()) for _ in range(2)}
    main.kill()
    main.wait()
    while any(running(worker) for worker in workers):  # or the test's time is over
        time.sleep(0.01)


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Empty:
    def scene_ids(self, split):
        return []


def test_one_scene_alone_is_told_what_it_is_good_for():
    """A folder that is one scene is a test split, and nothing to train on."""
    with pytest.raises(InputError, match=r"my_chair: no usable scene in split 'train': .*tools/reconstruct\.py"):
        next(load_split(Empty(), SourceConfig(root="my_chair"), "train"))
