import resource
import subprocess
import sys

import pytest

COUNT = """
import ctypes, resource, sys
from hypernerf.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
size = 24 << 20

def step():
    blocks = [library.malloc(size) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks:
        library.free(ctypes.c_void_p(block))

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_used_again_without_page_faults():
    def faults(mode):
        done = subprocess.run([sys.executable, "-c", COUNT, mode], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < 200 < faults("leave")


RELEASE = """
import ctypes, sys
from hypernerf.memory import keep_freed_memory, release_freed_memory
keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
freed, kept = [], []
for _ in range(64):  # each large block lies before one that stays
    for blocks, size in ((freed, 1 << 20), (kept, 1 << 12)):
        blocks.append(library.malloc(size))
        ctypes.memset(blocks[-1], 1, size)
for block in freed:
    library.free(ctypes.c_void_p(block))
if sys.argv[1] == "release":
    release_freed_memory()
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_what_lies_free_between_blocks_is_handed_back():
    def megabytes(mode):
        done = subprocess.run([sys.executable, "-c", RELEASE, mode], capture_output=True, text=True, check=True)
        return int(done.stdout) * resource.getpagesize() / 2**20

    assert megabytes("keep") - megabytes("release") > 48  # of 64 MB
