"""The process of an emulator on which single facts are checked: a schedule of a minute fires within a second."""

from ministack.services import eventbridge

from scripts.local import emulator_process

_SECONDS = 0.5


def hurry_schedules() -> None:
    eventbridge._SCHEDULER_TICK_INTERVAL = _SECONDS
    eventbridge._parse_rate_seconds = lambda _expression: _SECONDS


if __name__ == "__main__":
    hurry_schedules()
    emulator_process.main()
