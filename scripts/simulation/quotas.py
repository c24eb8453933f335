"""The limits: token buckets, and the concurrency of the functions. Each counts what it throttles."""

from collections import Counter


class TokenBucket:
    """Tokens that are refilled continuously, up to the size of the bucket. Times are in seconds."""

    def __init__(self, size: float, per_second: float, at: float) -> None:
        self._size, self._per_second = size, per_second
        self._tokens, self._updated_at = size, at
        self.total = self.throttled = 0

    def take(self, at: float, count: int) -> bool:
        """Take the tokens; return False, and take none, if there are fewer."""
        self._refill(at)
        if self._tokens < count:
            self.throttled += count
            return False
        self._tokens -= count
        self.total += count
        return True

    def reserve(self, at: float, count: int) -> float:
        """Take the tokens, whether they are there or not, and return in how many seconds they are."""
        self._refill(at)
        self._tokens -= count
        self.total += count
        if self._tokens >= 0:
            return 0.0
        self.throttled += count
        return -self._tokens / self._per_second

    def _refill(self, at: float) -> None:
        self._tokens = min(self._size, self._tokens + (at - self._updated_at) * self._per_second)
        self._updated_at = at


class Concurrency:
    """The concurrent executions of the functions.

    Each function has ``reserved`` executions, or with 0 all share those of the account.
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    """

    def __init__(self, account: float, reserved: float) -> None:
        self._account, self._reserved = account, reserved
        self._by_function: Counter[str] = Counter()
        self.in_use = self.peak = 0
        self.throttled = 0

    def acquire(self, function: str, count: int) -> bool:
        """Begin ``count`` executions; return False, and begin none, if not all of them may run."""
        running, limit = (
            (self._by_function[function], self._reserved) if self._reserved else (self.in_use, self._account)
        )
        if running + count > limit:
            self.throttled += count
            return False
        self._by_function[function] += count
        self.in_use += count
        self.peak = max(self.peak, self.in_use)
        return True

    def release(self, function: str, count: int) -> None:
        self._by_function[function] -= count
        self.in_use -= count
