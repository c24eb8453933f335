"""KMS keys, which have no names. Their aliases are deleted with the stack, so their tags identify them.

A key is shown under its alias, or under the alias that the templates give to a key of its description.
"""

from collections.abc import Collection, Iterator, Mapping

from botocore.exceptions import ClientError

from scripts.common.clients import KMSClient

from .leftover import Leftover

TYPE = "AWS::KMS::Key"
# The states of a key that is to be deleted begin so.
# https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
_PENDING = "Pending"
LOSS = "then whatever was encrypted with it, backups included, can never be decrypted"


class Keys:
    """``window_days`` is the waiting period during which the deletion can be cancelled."""

    def __init__(self, client: KMSClient, window_days: int) -> None:
        self._client, self.window_days = client, window_days

    def find_all(self, environment: str, aliases: Mapping[str, str]) -> Iterator[Leftover]:
        """Yield the keys of the environment that are not pending deletion.

        ``aliases`` maps descriptions to the templates' aliases. Keys for the same purpose, left by several stacks, have
        the same name; a key without a known alias is named by its id.
        """
        current_aliases = self._list_aliases(set(aliases.values()))
        for key in self._list_tagged():
            if not key.belongs_to(environment):
                continue
            metadata = self._client.describe_key(KeyId=key.id)["KeyMetadata"]
            if metadata["KeyState"].startswith(_PENDING):
                continue
            description = metadata.get("Description", "")
            name = current_aliases.get(key.id) or aliases.get(description, key.id)
            contents = f"key {key.id} ({description or 'without a description'}), deleted in {self.window_days} days"
            yield Leftover(TYPE, name, key.id, key.tags, contents)

    def read_tags(self, key_id: str) -> dict[str, str]:
        pages = self._client.get_paginator("list_resource_tags").paginate(KeyId=key_id)
        return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}

    def delete(self, leftover: Leftover) -> bool:
        """Schedule the deletion; return False if it was scheduled already."""
        if self.is_pending_deletion(leftover.id):
            return False
        self._client.schedule_key_deletion(KeyId=leftover.id, PendingWindowInDays=self.window_days)
        return True

    def is_pending_deletion(self, key_id: str) -> bool:
        return self._client.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"].startswith(_PENDING)

    def _list_aliases(self, names: Collection[str]) -> dict[str, str]:
        """Return the aliases among ``names`` that exist, by key id."""
        pages = self._client.get_paginator("list_aliases").paginate()
        aliases = [alias for page in pages for alias in page["Aliases"] if alias["AliasName"] in names]
        return {alias["TargetKeyId"]: alias["AliasName"] for alias in aliases if "TargetKeyId" in alias}

    def _list_tagged(self) -> Iterator[Leftover]:
        """Yield the keys of the account and Region whose tags the caller may read."""
        for page in self._client.get_paginator("list_keys").paginate():
            for key in page["Keys"]:
                try:
                    tags = self.read_tags(key["KeyId"])
                except ClientError as error:
                    # The policy of another team's key, or of a key of AWS's, may deny it.
                    if error.response["Error"]["Code"] != "AccessDeniedException":
                        raise
                    continue
                yield Leftover(TYPE, key["KeyId"], key["KeyId"], tags)
