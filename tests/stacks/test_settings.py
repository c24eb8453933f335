"""The settings file: each mistake has a line with the file, the key and the allowed values."""

import os
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
        (
            "[dev]",
            "[dev]\nretention = 1",
            ["[dev] retention", "unknown key; did you mean log_retention_days? stacks/settings.py"],
        ),
        ("[dev]", "[dev]\nspeed = 1", ["[dev] speed: unknown key; stacks/settings.py describes the keys of [ENV"]),
        ("[dev]", "[dev]\nstack_policy = true", ["stack_policy: unknown key; it belongs in [ENVIRONMENT.rollout]"]),
        ("[dev]", "[dev]\nservice_role = true", ["service_role: unknown key; it belongs in [bootstrap]"]),
        ("[dev]", "[dev.rolout]\nexpress = true\n[dev]", ["[dev] rolout: unknown key; did you mean rollout?"]),
        ("log_retention_days = 1", "", ["[dev] log_retention_days", "missing", "one of 1, 3, 5"]),
        ("log_retention_days = 1", "log_retention_days = 2", ["log_retention_days = 2", "one of 1, 3, 5"]),
        ("days = 1", 'days = "1"', ['log_retention_days = "1": it must be a number, not text (one of 1, 3, 5']),
        ("days = 1", "days = true", ["log_retention_days = true: it must be a number, not true or false (one of"]),
        ("days = 1", "days = 1.0", ["log_retention_days = 1.0: it must be one of"]),
        ("days = 1", "days = [1]", ["log_retention_days = [1]: it must be a number, not a list (one of"]),
        ("days = 1", "days = { a = 1 }", ['log_retention_days = {"a": 1}: it must be a number, not a table (one of']),
        ("days = 1", "days = 2026-11-28", ["2026-11-28", "it must be a number, not a date or time"]),
        ("window_days = 7", 'window_days = "7"', ["it must be a number, not text (an integer from 7 to 30)"]),
        ("window_days = 7", "window_days = 6", ["key_deletion_window_days = 6", "from 7 to 30"]),
        ("protection = false", 'protection = "no"', ['deletion_protection = "no": it must be true or false, not text']),
        ("protection = false", "protection = 0", ["deletion_protection = 0: it must be true or false, not a number"]),
        ('level = "ALL"', "level = true", ["workflow_log_level = true: it must be text, not true or false (one of"]),
        ("[dev]", "[dev]\nrunbook_url = 5", ["runbook_url = 5: it must be text, not a number (an https URL"]),
        ('level = "ALL"', 'level = "all"', ['workflow_log_level = "all"', '"ALL", "ERROR"']),
        ("[dev]", "[dev]\nmaximum_amounts = { usd = 5 }", ["maximum_amounts", "three-letter currency codes"]),
        ("[dev]", "[dev]\nmaximum_amounts = { USD = 0 }", ["maximum_amounts", "above 0"]),
        ("[dev]", "[dev]\nmaximum_amounts = 7", ["maximum_amounts = 7: it must be a table, not a number"]),
        ("[dev]", '[dev]\nmaximum_amounts = { USD = "5" }', ["USD: it must be a number, not text"]),
        ("[dev]", "[dev]\ncustomer_data_days = 13", ["customer_data_days: it must be 0, or at least 14"]),
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
        ("[dev]", f"[dev]\nx = {'[' * 5000}{']' * 5000}", ["not TOML: nested too deeply"]),
        ("[dev]", f"[dev]\nx = {'9' * 5000}", ["not TOML: "]),
        ("[dev]", "[prod]", ["no environment [dev]", "it has prod"]),
    ],
)
def test_an_invalid_file_is_refused_in_one_line(old: str, new: str, names: list[str], tmp_path: Path) -> None:
    message = read_refusal(DEV.replace(old, new, 1), tmp_path, partial(settings.load, "dev"))
    for text in [str(tmp_path / "environments.toml"), *names]:
        assert text in message


def test_all_mistakes_of_an_environment_are_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    text = DEV.replace("log_retention_days = 1", 'log_retention_days = "1"').replace('gateway = "simulator"', "")
    path.write_text(f"[bootstrap]\nservice_role = 1\n{text}express = true\n[dev.rollout]\nexpress = 0\n")
    with pytest.raises(settings.SettingsError) as refusal:
        settings.load("dev", path)
    lines = str(refusal.value).splitlines()
    assert all(line.startswith(f"{path}: [") for line in lines)
    places = [line.removeprefix(f"{path}: ").split(":")[0] for line in lines]
    assert places == [
        "[dev] express",
        '[dev] log_retention_days = "1"',
        "[dev] gateway",
        "[dev.rollout] express = 0",
        "[bootstrap] service_role = 1",
    ]


@pytest.mark.parametrize(
    ("rollout", "is_allowed"),
    [
        ("code_only = true", True),
        ("code_only = false", False),
        ('code_only = "true"', False),
        ("code_only = true\nstack_policy = true", False),
        ("code_only = true\ntermination_protecton = true", False),
    ],
)
def test_rights_on_functions_are_given_where_code_only_is_certain(
    tmp_path: Path, rollout: str, is_allowed: bool
) -> None:
    path = tmp_path / "environments.toml"
    path.write_text(f"{DEV}[dev.rollout]\n{rollout}\n")
    assert settings.code_only_environments(path) == (("dev",) if is_allowed else ())


MISTAKES = """
[Prod]
[prod]
log_retention_days = "7"
[prod.rollout]
stack_polcy = true
[staging]
rollout = 5
[sandbox.rollout]
termination_protection = "yes"
[local]
"""


def test_a_mistake_in_one_environment_does_not_stop_another(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    path.write_text(DEV + MISTAKES)
    assert settings.load("dev", path)["Environment"] == "dev"
    assert settings.load_rollout("dev", path)["express"] is False
    assert settings.deployed_environments(path) == ("dev", "prod", "sandbox", "staging")
    # What may be meant as a protection is one, so that the other environments' templates do not change.
    assert settings.unprotected_environments(path) == ("dev",)
    assert settings.code_only_environments(path) == ()
    with pytest.raises(settings.SettingsError) as refusal:
        settings.check_file(path)
    lines = str(refusal.value).splitlines()
    assert {line.split("]")[0].split("[")[1] for line in lines} == {
        "Prod", "prod", "prod.rollout", "staging", "staging.rollout", "sandbox", "sandbox.rollout", "local"
    }  # fmt: skip


@pytest.mark.parametrize(("name", "is_valid"), [("qa", True), ("a" * 16, True), ("q", False), ("a" * 17, False)])
def test_a_name_of_an_environment_has_two_to_sixteen_characters(name: str, is_valid: bool, tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    path.write_text(DEV.replace("[dev]", f"[{name}]"))
    # CloudFormation searches for the pattern.
    pattern = load_template("parent")["Parameters"]["Environment"]["AllowedPattern"]
    assert bool(re.search(pattern, name)) is is_valid
    assert settings.deployed_environments(path) == ((name,) if is_valid else ())
    if is_valid:
        assert settings.load(name, path)["Environment"] == name
    else:
        assert "a name has 2 to 16 lower-case letters" in read_refusal(path.read_text(), tmp_path, settings.check_file)


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


def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Each reading after the first one would find no environment in it, or wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(settings.SettingsError, match=f"{path.name}: not a regular file; name a file on the disk"):
            settings.load("dev", path)


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
        (
            "[dev.rollout]\nprotection = true",
            "[dev.rollout] protection: unknown key; did you mean termination_protection",
        ),
        ("[dev.rollout]\nstack_policy = 1", "[dev.rollout] stack_policy = 1: it must be true or false"),
        ("[dev.rollout]\nmonitoring_minutes = 181", "monitoring_minutes = 181: it must be an integer from 0 to 180"),
        (
            "[dev.rollout]\naccount = 123456789012",
            "it must be text, not a number (the 12 digits of an AWS account in quotes",
        ),
        ("[dev.rollout]\nregion = 'Frankfurt'", "it must be a Region such as eu-central-1, or empty"),
        ("[dev]\nrollout = 5", "[dev.rollout]: it must be a table, not a number"),
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
