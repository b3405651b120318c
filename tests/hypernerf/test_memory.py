import subprocess
import sys

import pytest

COUNT = """
import resource, sys, torch
from hypernerf.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    return [torch.zeros(4, 1 << 20) for _ in range(4)]  # of 16 MB each, given back together
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_used_again_without_page_faults():
    def faults(mode):
        done = subprocess.run([sys.executable, "-c", COUNT, mode], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < 200 < faults("leave")
