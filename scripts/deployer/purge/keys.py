"""KMS keys. They have no names of their own, and their aliases go with the stack: tags find them.

A key is called by its alias, after the stack's deletion by the alias that the templates give to the key with its
description. CloudFormation's tags would tell its logical id, but KMS keys do not get them.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from .leftover import Leftover

TYPE = "AWS::KMS::Key"
LOSS = "then whatever was encrypted with it, backups included, can never be decrypted"


class Keys:
    """``window_days`` is the waiting period in which the deletion can be cancelled."""

    def __init__(self, client: Any, window_days: int) -> None:
        self._client, self._window_days = client, window_days

    def find_all(self, environment: str, aliases: Mapping[str, str]) -> Iterator[Leftover]:
        """Those of the environment that are not pending deletion; ``aliases`` has the templates' by description.

        The keys that several stacks have left for the same purpose have the same name. A key that no alias can be
        determined for is called by its id.
        """
        current_aliases = self._list_aliases(set(aliases.values()))
        for key in self._list_tagged():
            if not key.belongs_to(environment):
                continue
            metadata = self._client.describe_key(KeyId=key.id)["KeyMetadata"]
            if _is_pending_deletion(metadata):
                continue
            description = metadata.get("Description", "")
            name = current_aliases.get(key.id) or aliases.get(description, key.id)
            described = description or "without a description"
            contents = f"key {key.id} ({described}), deleted in {self._window_days} days"
            yield Leftover(TYPE, name, key.id, key.tags, contents)

    def delete(self, leftover: Leftover) -> bool:
        """Schedule the deletion; whether it had not been scheduled before."""
        if _is_pending_deletion(self._client.describe_key(KeyId=leftover.id)["KeyMetadata"]):
            return False
        self._client.schedule_key_deletion(KeyId=leftover.id, PendingWindowInDays=self._window_days)
        return True

    def _list_aliases(self, names: Collection[str]) -> dict[str, str]:
        """Those of ``names`` that exist, by the id of the key."""
        pages = self._client.get_paginator("list_aliases").paginate()
        aliases = [alias for page in pages for alias in page["Aliases"] if alias["AliasName"] in names]
        return {alias["TargetKeyId"]: alias["AliasName"] for alias in aliases if "TargetKeyId" in alias}

    def _list_tagged(self) -> Iterator[Leftover]:
        """All keys of the account and Region whose tags may be read."""
        for page in self._client.get_paginator("list_keys").paginate():
            for key in page["Keys"]:
                try:
                    pages = self._client.get_paginator("list_resource_tags").paginate(KeyId=key["KeyId"])
                    tags = {tag["TagKey"]: tag["TagValue"] for tagged in pages for tag in tagged["Tags"]}
                except ClientError as error:
                    # The policy of somebody else's key, or of AWS's own, may let nobody else look.
                    if error.response["Error"]["Code"] != "AccessDeniedException":
                        raise
                    continue
                yield Leftover(TYPE, key["KeyId"], key["KeyId"], tags)


def _is_pending_deletion(metadata: Mapping[str, Any]) -> bool:
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html"""
    return str(metadata["KeyState"]).startswith("Pending")
