"""Money: a whole number of minor units and an ISO 4217 currency."""

import math
from dataclasses import dataclass
from decimal import Decimal

# ISO 4217 currencies whose minor unit is not a hundredth.
# https://www.six-group.com/en/products-services/financial-information/data-standards.html
_NO_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_TEN_THOUSANDTHS = "CLF UYW"

# Above this, a float, and so a JSON number in most parsers, cannot represent every whole number.
_LARGEST_MINOR_UNITS = 2**53


class NotAnAmount(ValueError):
    """The value is no amount of money. The message contains no payment data, and may be shown to the sender."""


def count_decimal_places(currency: str) -> int:
    """Return the number of decimal places of the currency's minor unit."""
    for codes, places in ((_NO_MINOR_UNIT, 0), (_THOUSANDTHS, 3), (_TEN_THOUSANDTHS, 4)):
        if currency in codes.split():
            return places
    return 2


@dataclass(frozen=True)
class Money:
    """``Money(15000, "USD")`` is 150.00 US dollars."""

    minor_units: int
    currency: str

    @classmethod
    def parse(cls, amount: object, currency: str) -> "Money":
        """Read a JSON number of major units, exactly: ``150.00`` with ``"USD"`` is ``Money(15000, "USD")``.

        Raises ``NotAnAmount`` for anything but a finite number of whole minor units.
        """
        # bool is a subclass of int.
        if isinstance(amount, bool) or not isinstance(amount, int | float):
            raise NotAnAmount("payment_amount must be a number")
        if isinstance(amount, float) and not math.isfinite(amount):
            raise NotAnAmount("payment_amount must be finite")
        if abs(amount) > _LARGEST_MINOR_UNITS:
            raise NotAnAmount("payment_amount is too large")
        # str() returns the shortest text that parses to this float, which is what the sender wrote.
        scaled = Decimal(str(amount)).scaleb(count_decimal_places(currency))
        if scaled != scaled.to_integral_value():
            raise NotAnAmount("payment_amount has more decimal places than its currency has")
        if abs(scaled) > _LARGEST_MINOR_UNITS:
            raise NotAnAmount("payment_amount is too large")
        return cls(int(scaled), currency)

    def to_number(self) -> int | float:
        """Return the JSON number of major units that ``parse`` reads as this amount."""
        amount = Decimal(self.minor_units).scaleb(-count_decimal_places(self.currency))
        return int(amount) if amount == amount.to_integral_value() else float(amount)

    def __str__(self) -> str:
        places = count_decimal_places(self.currency)
        return f"{Decimal(self.minor_units).scaleb(-places):.{places}f} {self.currency}"
