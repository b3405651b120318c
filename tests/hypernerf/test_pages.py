"""Tensors beside the heap: the same values, and gone with the last that uses their pages."""

import re
from pathlib import Path

import pytest
import torch

from hypernerf.pages import BLOCK, Pages


def test_copies_have_the_values_and_do_not_touch_each_other():
    torch.manual_seed(0)
    values = [
        torch.randint(0, 256, (3, 5), dtype=torch.uint8), torch.randn(2, 4, 4), torch.randn(3), torch.empty(0, 7),
        torch.randint(0, 256, (BLOCK + 1,), dtype=torch.uint8), torch.randn(7, 3).T, torch.randn(1),
    ]  # fmt: skip
    pages = Pages()
    copies = [pages.copied(value) for value in values]
    for value, copy in zip(values, copies, strict=True):
        assert copy.dtype == value.dtype and torch.equal(copy, value) and copy.is_contiguous()
        assert copy.data_ptr() % 64 == 0 or not copy.numel()


def test_small_ones_share_pages_and_large_ones_have_their_own():
    pages = Pages()
    first, second, large = (pages.copied(torch.zeros(size, dtype=torch.uint8)) for size in (10, 10, 2 * BLOCK))
    assert first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr() != large.untyped_storage().data_ptr()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells where memory is")
def test_pages_stay_with_the_last_tensor_in_them_and_then_go_back():
    def mapped(address):
        spans = re.findall(r"^(\w+)-(\w+) ", Path("/proc/self/maps").read_text(), re.MULTILINE)
        return any(int(start, 16) <= address < int(end, 16) for start, end in spans)

    pages = Pages()
    kept, large = pages.copied(torch.arange(4)), pages.copied(torch.ones(8 * BLOCK, dtype=torch.uint8))
    del pages
    assert kept.tolist() == [0, 1, 2, 3]
    address = large.data_ptr() + 4 * BLOCK
    assert mapped(address)
    del large
    assert not mapped(address)
    assert kept.tolist() == [0, 1, 2, 3]
