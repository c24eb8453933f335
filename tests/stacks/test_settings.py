"""The settings file: an error message is one line with the file, the key and the allowed values."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from stacks import settings
from tests.emitted import load_template

DEV = """
[dev]
log_retention_days = 1
key_deletion_window_days = 7
deletion_protection = false
backup_retention_days = 0
workflow_log_level = "ALL"
workflow_log_execution_data = true
workflow_customer_key = false
log_data_protection = true
function_log_level = "INFO"
reserved_concurrency = 0
gateway = "simulator"
"""
IN_SECRETS_MANAGER = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:stripe-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:000000000000:key/0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11"
KMS_SETTING = "gateway_secret_key_arn"
ALIAS = "arn:aws:kms:eu-central-1:000000000000:alias/stripe"


def read_refusal(text: str, folder: Path, load: Callable[[Path], object]) -> str:
    """Write a settings file, and return the one-line message with which it is refused."""
    path = folder / "environments.toml"
    path.write_text(text)
    with pytest.raises(settings.SettingsError) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("environment", [*settings.deployed_environments(), settings.LOCAL])
def test_the_committed_file_gives_every_parameter_of_the_parent(environment: str) -> None:
    parameters = settings.load(environment)
    assert set(parameters) == set(load_template("parent")["Parameters"])
    assert parameters["Environment"] == environment


def test_prod_can_be_deployed_to_a_new_account() -> None:
    """Its limit of concurrent executions is 10, from which Lambda allows no reservation."""
    assert settings.load("prod")["ReservedConcurrency"] == "0"


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("[dev]", "[dev]\nretention = 1", ["[dev] retention", "unknown key", "log_retention_days"]),
        ("log_retention_days = 1", "", ["[dev] log_retention_days", "missing", "one of 1, 3, 5"]),
        ("log_retention_days = 1", "log_retention_days = 2", ["log_retention_days = 2", "one of 1, 3, 5"]),
        ("log_retention_days = 1", 'log_retention_days = "1"', ['log_retention_days = "1"', "one of"]),
        ("log_retention_days = 1", "log_retention_days = true", ["log_retention_days = true", "one of"]),
        ("window_days = 7", "window_days = 6", ["key_deletion_window_days = 6", "from 7 to 30"]),
        ("protection = false", 'protection = "no"', ['deletion_protection = "no"', "true or false"]),
        ('level = "ALL"', 'level = "all"', ['workflow_log_level = "all"', '"ALL", "ERROR"']),
        ("[dev]", "[dev]\nmaximum_amounts = { usd = 5 }", ["maximum_amounts", "three-letter currency codes"]),
        ("[dev]", "[dev]\nmaximum_amounts = { USD = 0 }", ["maximum_amounts", "above 0"]),
        ("[dev]", "[dev]\nmaximum_amounts = 7", ["maximum_amounts = 7", "a table"]),
        ("[dev]", "[dev]\nmaximum_amounts = { EUR = 5 }", ["high_value_amounts", "currencies of maximum_amounts, EUR"]),
        ("[dev]", '[dev]\nnotification_endpoint = "nobody"', ["notification_endpoint", "e-mail address"]),
        ("[dev]", '[dev]\nnotification_endpoint = "arn:aws:sqs:x"', ["notification_endpoint", "protocol email"]),
        ("[dev]", "[dev]\nhigh_value_amounts = { USD = 10001 }", ["high_value_amounts", "above its maximum"]),
        ("[dev]", '[dev]\nnotification_endpoint = """a\nb"""', ["notification_endpoint", r"a\nb"]),
        ("[dev]", '[dev]\n"a\\nb" = 1', [r'"a\nb"', "unknown key"]),
        ('gateway = "simulator"', 'gateway = "stripe"', ["gateway_secret_arn", "must be set for stripe"]),
        ("[dev]", f'[dev]\n{KMS_SETTING} = "{KEY}"', [KMS_SETTING, "without a gateway_secret_arn"]),
        ("[dev]", f'[dev]\n{KMS_SETTING} = "{ALIAS}"', [KMS_SETTING, "a KMS key (not of an alias)"]),
        ('function_log_level = "INFO"', 'function_log_level = "WARN"', ["function_log_level", '"DEBUG", "INFO"']),
        ("[dev]", "stray = 1\n[dev]", ["stray", "under an environment"]),
        ("[dev]", "[dev", ["not TOML"]),
        ("[dev]", "[prod]", ["no environment [dev]", "it has prod"]),
    ],
)
def test_an_invalid_file_is_refused_in_one_line(old: str, new: str, names: list[str], tmp_path: Path) -> None:
    message = read_refusal(DEV.replace(old, new, 1), tmp_path, partial(settings.load, "dev"))
    for text in [str(tmp_path / "environments.toml"), *names]:
        assert text in message


@pytest.mark.parametrize(
    "key",
    [
        "",
        KEY,
        "arn:aws-cn:kms:cn-north-1:000000000000:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws-us-gov:kms:us-gov-west-1:000000000000:key/0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11",
    ],
)
def test_a_valid_key_of_a_secret_is_accepted(key: str, tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    stripe = f'gateway = "stripe"\ngateway_secret_arn = "{IN_SECRETS_MANAGER}"\ngateway_secret_key_arn = "{key}"'
    path.write_text(DEV.replace('gateway = "simulator"', stripe))
    assert settings.load("dev", path)["GatewaySecretKeyArn"] == key


@pytest.mark.parametrize(
    "key", [ALIAS, "0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11", "*", f"{KEY}*", f"{KEY}\n", IN_SECRETS_MANAGER]
)
def test_an_invalid_key_of_a_secret_is_refused(key: str) -> None:
    assert not settings.Settings.gateway_secret_key_arn.accepts(key)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match=r"none\.toml: cannot be read"):
        settings.load("dev", tmp_path / "none.toml")


def test_the_file_accepts_nothing_that_cloudformation_refuses() -> None:
    """The constraints of the parameter and the check of the file come from one declaration, and must agree."""
    for setting in settings.all_settings():
        properties = setting.parameter().to_dict()
        for value in (setting.default, *getattr(setting, "among", ())):
            if value is None:
                continue
            assert setting.accepts(value), setting.name
            text = setting.text(value)
            if "AllowedValues" in properties:
                assert text in map(str, properties["AllowedValues"])
            if "AllowedPattern" in properties:
                assert re.search(properties["AllowedPattern"], text)
            if "MinValue" in properties:
                assert properties["MinValue"] <= int(text) <= properties["MaxValue"]


def test_the_rollout_settings_of_prod_and_dev() -> None:
    prod, dev = settings.load_rollout("prod"), settings.load_rollout("dev")
    assert (prod["termination_protection"], prod["stack_policy"], prod["monitoring_minutes"]) == (True, True, 5)
    assert (dev["termination_protection"], dev["rollback_on_alarms"]) == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[dev.rollout]\nprotection = true", "[dev.rollout] protection: unknown key; allowed are termination"),
        ("[dev.rollout]\nstack_policy = 1", "[dev.rollout] stack_policy = 1: it must be true or false"),
        ("[dev.rollout]\nmonitoring_minutes = 181", "monitoring_minutes = 181: it must be an integer from 0 to 180"),
        ("[dev]\nrollout = 5", "[dev.rollout]: it must be a table"),
    ],
)
def test_an_invalid_rollout_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    assert message in read_refusal(text, tmp_path, partial(settings.load_rollout, "dev"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('github_repository = "us"', 'github_repository = "us": it must be OWNER@ID/NAME@ID, OWNER/NAME for'),
        ('github_repository = "us/payments"', "service_role: it must be true for a github_repository"),
        ("service_role = true", "permissions_boundary: it must be set with a service_role"),
        ('permissions_boundary = "ours"', 'it must be "platform", the ARN of a managed policy, or empty'),
        ('github_oidc_provider_arn = "x"', "token.actions.githubusercontent.com, or empty"),
        ("region = 1", "[bootstrap] region: unknown key"),
    ],
)
def test_an_invalid_bootstrap_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    assert message in read_refusal(f"[bootstrap]\n{text}", tmp_path, settings.load_bootstrap)


def test_the_committed_bootstrap_gives_every_parameter_of_the_bucket() -> None:
    assert set(settings.load_bootstrap()) == set(load_template("artifacts")["Parameters"]) - {"Owner"}


def test_the_boundary_of_the_account_applies_to_every_environment(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    for boundary in ("", "platform", "arn:aws:iam::123456789012:policy/theirs"):
        path.write_text(f'[bootstrap]\npermissions_boundary = "{boundary}"\n{DEV}')
        assert settings.load("dev", path)["PermissionsBoundary"] == boundary
        assert settings.load_bootstrap(path)["PermissionsBoundary"] == boundary
