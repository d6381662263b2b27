"""Addresses and threads of a recorded trace, numbered without gaps."""

import numpy as np

from lazynuma.scenarios.recorded.dense import AddressMap, ThreadMap


def test_address_map_is_dense_in_order_of_appearance():
    where = AddressMap()
    assert where.translate(1, np.array([9 << 9 | 5, 1 << 9, 9 << 9])).tolist() == [
        5,
        512,
        0,
    ]
    assert where.translate(1, np.array([2 << 9 | 7])).tolist() == [2 << 9 | 7]
    assert (where.blocks(1), where.blocks(2)) == (3, 0)


def test_thread_map():
    threads = ThreadMap()
    assert [threads.number(*one) for one in [(1, 1), (1, 2), (2, 1), (1, 2)]] == [
        0,
        1,
        2,
        1,
    ]
