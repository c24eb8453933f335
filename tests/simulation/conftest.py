"""The rules of the platform, as a simulation reads them."""

import pytest

from scripts.simulation.rules import Rules, read_rules
from stacks import settings


@pytest.fixture(scope="session")
def rules() -> Rules:
    return read_rules(settings.load("dev"))
