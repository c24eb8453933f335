"""Token buckets and the concurrency of functions never give more than they have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.simulation.quotas import Concurrency, TokenBucket

CALLS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3)), max_size=50)


@given(size=st.integers(1, 10), per_second=st.floats(0.1, 10), calls=CALLS)
def test_a_bucket_gives_at_most_its_size_and_what_was_refilled(
    size: int, per_second: float, calls: list[tuple[float, int]]
) -> None:
    bucket, at, refused = TokenBucket(size, per_second, 0.0), 0.0, 0
    for pause, count in calls:
        at += pause
        refused += 0 if bucket.take(at, count) else count
        assert bucket.total <= size + at * per_second + 1e-6
    assert bucket.throttled == refused
    assert bucket.total + refused == sum(count for _, count in calls)


@given(size=st.integers(1, 10), per_second=st.floats(0.1, 10), calls=CALLS)
def test_reserved_tokens_come_in_order_and_no_faster_than_the_refill(
    size: int, per_second: float, calls: list[tuple[float, int]]
) -> None:
    bucket, at, total, last = TokenBucket(size, per_second, 0.0), 0.0, 0, 0.0
    for pause, count in calls:
        at += pause
        total += count
        begin = at + bucket.reserve(at, count)
        assert begin >= last - 1e-6
        assert total <= size + begin * per_second + 1e-6
        last = begin


def test_functions_share_the_concurrency_of_the_account() -> None:
    concurrency = Concurrency(3, reserved=0)
    assert [concurrency.acquire(name, 1) for name in ("a", "a", "b", "b")] == [True, True, True, False]
    concurrency.release("a", 1)
    assert concurrency.acquire("b", 1)
    assert (concurrency.peak, concurrency.in_use, concurrency.throttled) == (3, 3, 1)


def test_a_reserved_function_has_its_concurrency_for_itself() -> None:
    concurrency = Concurrency(1000, reserved=2)
    assert [concurrency.acquire("a", 1) for _ in range(3)] == [True, True, False]
    assert concurrency.acquire("b", 2)


@pytest.mark.parametrize("count", [1, 4])
def test_a_full_bucket_stays_full(count: int) -> None:
    bucket = TokenBucket(4, 100, 0.0)
    assert bucket.take(1000.0, count)
    assert not bucket.take(1000.0, 5 - count)
