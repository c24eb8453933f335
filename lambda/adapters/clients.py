"""Clients of AWS's services. A customer waits while one is created, and for each of its calls."""

import logging
from typing import Any

import botocore
import botocore.session
from botocore.config import Config
from botocore.loaders import Loader


class _Loader(Loader):
    """Loads the models of the services that the functions call."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - of every type
        # Otherwise botocore looks into the folders of all services, over 400, only to know whether one is among them.
        return ["dynamodb", "secretsmanager", "sns", "sqs"]


# Shared, so that what all clients need is loaded once.
_LOADER = _Loader()


def create_client(service: str, *, connect_seconds: int, read_seconds: int, attempts: int) -> Any:
    """Return a client with these time limits, which makes so many attempts at a call in all."""
    # At INFO, botocore logs the source of its credentials, and at DEBUG whole answers, and so the gateway's key.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    session = botocore.session.get_session()
    session.register_component("data_loader", _LOADER)
    config = Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Without these two, a call takes a quarter more CPU time. The tests compare the requests with the service
        # models, and the service refuses what is wrong.
        parameter_validation=False,
        user_agent=f"Botocore/{botocore.__version__}",
    )
    return session.create_client(service, config=config)
