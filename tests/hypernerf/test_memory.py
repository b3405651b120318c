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
