"""Every order that a stage can ask for, by its name in a profile (`order` of `pipeline.sharding.settings`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.sharding.orders.common_to_rare import CommonToRare
from pipeline.sharding.orders.easy_to_hard import EasyToHard
from pipeline.sharding.orders.order import Order
from pipeline.sharding.orders.short_to_long import ShortToLong
from pipeline.sharding.orders.shuffled import Shuffled
from pipeline.sharding.orders.simple_to_hard import SimpleToHard

ORDERS: Final[Mapping[str, type[Order]]] = {
    order.name: order for order in (Shuffled, SimpleToHard, CommonToRare, ShortToLong, EasyToHard)
}
