"""Numbers of a few bits come back from their bytes, whatever their width and count, and lie as the format says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import ExportError
from trainer.quantize.bits import pack, packed_size, unpack

WIDTHS = st.integers(1, 8)


@st.composite
def numbers(draw):
    bits = draw(WIDTHS)
    return bits, np.array(draw(st.lists(st.integers(0, 2**bits - 1), max_size=70)), dtype=np.uint8)


@given(numbers(), st.booleans())
def test_numbers_come_back_from_as_few_bytes_as_their_bits_fill(drawn, whole):
    bits, wanted = drawn
    data = pack(wanted, bits, whole=whole)
    assert data.dtype == np.uint8
    least = -(-len(wanted) // (8 // bits)) if whole else -(-len(wanted) * bits // 8)
    assert data.size == packed_size(len(wanted), bits, whole=whole) == least
    assert unpack(data, bits, len(wanted), whole=whole).tolist() == wanted.tolist()


def test_the_first_number_is_in_the_lowest_bits():
    numbers = np.array([0b101, 0b011, 0b110], dtype=np.uint8)
    assert pack(numbers, 3).tolist() == [0b10_011_101, 0b1]  # the third lies across two bytes
    assert pack(numbers, 3, whole=True).tolist() == [0b00_011_101, 0b00_000_110]


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ExportError, match="9 does not fit into 3 bits"):
        pack(np.array([1, 9], dtype=np.uint8), 3)
    with pytest.raises(ExportError, match="bits: found 9; a packed number has 1 to 8"):
        pack(np.zeros(1, dtype=np.uint8), 9)
    with pytest.raises(ExportError, match="10 numbers of 3 bits take 4 bytes, found 3"):
        unpack(np.zeros(3, dtype=np.uint8), 3, 10)
