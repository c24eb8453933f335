"""The list prices of a Region: prices.toml."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .data_files import list_unconfirmed, load_file

REGIONS = ("us-east-1", "eu-west-1", "eu-central-1")


@dataclass(frozen=True)
class Prices:
    region: str
    rows: Mapping[str, Any]

    def charge(self, name: str, amount: float) -> float:
        """Return the dollars for a month's ``amount`` of what the row ``name`` is the price of."""
        row = self.rows[name]
        price = row.get("regions", {}).get(self.region, row["price"])
        if not isinstance(price, list):
            return float(price) * amount
        dollars, below = 0.0, 0.0
        for limit, part_price in price:
            dollars += max(0.0, min(amount, limit) - below) * part_price
            below = limit
        return dollars

    def list_unconfirmed(self) -> list[str]:
        return list_unconfirmed(self.rows, self.region)


def load_prices(region: str) -> Prices:
    """Return the prices of the Region, or those of us-east-1 if the file has none for it."""
    return Prices(region if region in REGIONS else REGIONS[0], load_file("prices.toml"))
