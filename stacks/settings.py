"""Declares the settings, and reads them from environments.toml.

A setting of an environment is also a parameter of the parent template. One declaration is the source of both, so the
file and CloudFormation accept the same values.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from .setting_kinds import Amounts, Choice, Flag, Number, Setting, Text

ENVIRONMENTS_FILE = Path(__file__).with_name("environments.toml")
ENVIRONMENT_PATTERN = "[a-z][a-z0-9-]{1,14}[a-z0-9]"
# The environment on the local AWS emulator.
LOCAL = "local"
# The value of permissions_boundary that selects the boundaries of the artifacts stack.
PLATFORM_BOUNDARY = "platform"


class SettingsError(Exception):
    """A settings file is invalid. The message names the file, the key and the accepted values."""


# The values that CloudWatch Logs accepts.
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip


def _threshold(subject: str, *, default: int) -> Number:
    return Number(f"{subject} in 5 minutes; the alarm fires above this number", default=default)


class Settings:
    """The settings of an environment. One without a default must be set in each."""

    log_retention_days = Number("Retention of log groups, in days", among=RETENTION_DAYS)
    key_deletion_window_days = Number("KMS key deletion waiting period, in days", minimum=7, maximum=30)
    deletion_protection = Flag("Whether the tables have deletion protection")
    backup_retention_days = Number("Retention of the tables' daily backups, in days; 0 disables backups", maximum=3650)
    workflow_log_level = Choice("Which Step Functions events are logged", among=("ALL", "ERROR", "FATAL", "OFF"))
    workflow_log_execution_data = Flag(
        "Whether Step Functions logs include input and output, which contain payment data"
    )
    workflow_customer_key = Flag("Whether executions are encrypted with a customer-managed key")
    log_data_protection = Flag(
        "Whether logs mask what looks like a card number, a bank account number or an e-mail address"
    )
    # At least INFO, because the metrics are log lines at INFO.
    function_log_level = Choice("The minimum log level of the functions", among=("DEBUG", "INFO"))
    reserved_concurrency = Number("Reserved concurrency of each function; 0 reserves none", maximum=1000)
    gateway = Choice("The payment gateway", among=("simulator", "stripe"))
    gateway_secret_arn = Text(
        "The Secrets Manager secret that holds the gateway's API key; empty for the simulator",
        default="",
        # The description of a version contains it, and has 256 characters.
        pattern=r"|arn:[a-z-]{3,10}:secretsmanager:\S{1,170}",
        wording="the ARN of a Secrets Manager secret, of at most 200 characters, or empty",
    )
    gateway_secret_key_arn = Text(
        "The customer-managed KMS key of the gateway's secret; empty if the secret uses aws/secretsmanager",
        default="",
        pattern=r"|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+",
        wording="the ARN of a KMS key (not of an alias), or empty",
    )
    notify_business_outcomes = Flag("Whether subscribers are notified of declined and rejected payments", default=True)
    maximum_amounts = Amounts("Accepted currencies, and the largest payment in each", default={"USD": 10000})
    high_value_amounts = Amounts(
        "Amounts above which a payment counts as high value in fraud scoring", default={"USD": 5000}
    )
    fraud_score_limit = Number("Fraud score from which a payment is rejected", default=50, minimum=1, maximum=100)
    notification_protocol = Choice(
        "The protocol by which notifications are delivered", default="email", among=("email", "https", "sqs")
    )
    notification_endpoint = Text(
        "The endpoint subscribed to notifications; empty for none",
        default="",
        pattern=r"|[^@\s]+@[^@\s]+|https://\S+|arn:\S+",
        wording="an e-mail address, an https URL, a queue's ARN, or empty",
    )
    workflow_failures_threshold = _threshold("Failed executions", default=2)
    executions_cut_short_threshold = _threshold("Executions that timed out or were aborted", default=0)
    workflow_throttles_threshold = _threshold("Throttled states of executions", default=10)
    function_errors_threshold = _threshold("Errors of a function that payments run through", default=5)
    function_throttles_threshold = _threshold("Throttles of a function", default=1)
    payment_duration_threshold_seconds = Number(
        "Average duration of payments over 10 minutes, in seconds; the alarm fires above this", default=120, minimum=1
    )
    unknown_outcomes_threshold = _threshold("Payments with an unknown outcome", default=2)
    reviews_threshold = _threshold("Payments that need manual review", default=0)
    dead_letters_threshold = _threshold("Messages in the dead-letter queue", default=0)
    open_payment_age_threshold_seconds = Number(
        "Seconds that a payment may stay without a final status before the alarm fires", default=3600, minimum=300
    )
    table_throttles_threshold = _threshold("Throttled reads, or writes, of a table", default=5)
    notification_failures_threshold = _threshold("Notices that could not be delivered", default=0)
    reconciliation_errors_threshold = _threshold("Reconciliation errors: failed payments, or failed runs", default=0)
    composite_alarm = Flag(
        "Whether the alarms that signal failing payments notify through one composite alarm instead of individually",
        True,
    )
    runbook_url = Text(
        "URL or path of docs/runbook.md, which the alarm descriptions link to",
        default="docs/runbook.md",
        pattern=r"https://[^\s#]+|[A-Za-z0-9_./-]+",
        wording="an https URL, or a path in the repository, without a #",
    )


class Bootstrap:
    """The settings of the account, in the table [bootstrap], which are the parameters of the artifacts stack."""

    service_role = Flag("Whether CloudFormation uses a service role instead of the caller's permissions", False)
    permissions_boundary = Text(
        "The permissions boundary of all roles: platform for the one created here, another's ARN, or empty for none",
        default="",
        pattern=r"|platform|arn:[a-z-]+:iam::([0-9]{12}|aws):policy/\S+",
        wording='"platform", the ARN of a managed policy, or empty',
    )
    github_repository = Text(
        "The GitHub repository whose Actions workflows may plan and deploy, as in its tokens' subject; empty for none",
        default="",
        pattern=r"|[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|[A-Za-z0-9_.-]+@[0-9]+/[A-Za-z0-9_.-]+@[0-9]+",
        wording="OWNER@ID/NAME@ID, OWNER/NAME for a repository whose tokens have no ids, or empty",
    )
    github_environment = Text(
        "The GitHub environment whose jobs may deploy; require approval for it in GitHub",
        default="prod",
        pattern=r"[A-Za-z0-9_.-]{1,255}",
        wording="the name of an environment in GitHub",
    )
    github_oidc_provider_arn = Text(
        "The ARN of the account's OIDC provider for GitHub, if it has one; empty to create it",
        default="",
        pattern=r"|arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/token\.actions\.githubusercontent\.com",
        wording="the ARN of the provider token.actions.githubusercontent.com, or empty",
    )


class Rollout:
    """The settings of an environment's deployment, in the table [ENVIRONMENT.rollout]. No template uses them."""

    termination_protection = Flag("Whether the stack has termination protection", False)
    stack_policy = Flag(
        "Whether a stack policy denies replacing or deleting resources that hold data, unless confirmed by name", False
    )
    rollback_on_alarms = Flag(
        "Whether the platform's alarms are rollback triggers, from the second deployment on", True
    )
    express = Flag("Whether deploy.sh --express is allowed: a deployment that does not wait for ready resources", False)
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackConfiguration.html
    monitoring_minutes = Number(
        "Minutes that CloudFormation monitors the alarms after a deployment", default=0, maximum=180
    )


_BOOTSTRAP, _ROLLOUT = "bootstrap", "rollout"


def all_settings(declared_in: type = Settings) -> list[Setting]:
    return [value for value in vars(declared_in).values() if isinstance(value, Setting)]


def deployed_environments(path: Path = ENVIRONMENTS_FILE) -> tuple[str, ...]:
    """Return the environments that are deployed to AWS, in alphabetical order.

    Raises ``SettingsError`` for a file that cannot be read and for an invalid name.
    """
    environments = sorted(name for name in _read_file(path) if name not in (_BOOTSTRAP, LOCAL))
    for environment in environments:
        _read_environment(environment, path)
    return tuple(environments)


def unprotected_environments(path: Path = ENVIRONMENTS_FILE) -> tuple[str, ...]:
    """Return the environments that have neither termination protection nor a stack policy. Raises ``SettingsError``."""
    rollouts = {name: load_rollout(name, path) for name in deployed_environments(path)}
    return tuple(
        name for name, values in rollouts.items() if not values["termination_protection"] | values["stack_policy"]
    )


def load(environment: str, path: Path = ENVIRONMENTS_FILE) -> dict[str, str]:
    """Return the parent template's parameters for ``environment``.

    Raises ``SettingsError`` for a file that cannot be read, an environment that is not in it, an unknown key, a missing
    value and an invalid value.
    """
    table = {key: value for key, value in _read_environment(environment, path).items() if key != _ROLLOUT}
    values = _check_table(table, Settings, f"{_relative_path(path)}: [{environment}]")
    _check_pairs(environment, table, _relative_path(path))
    # Settings of the account: the boundary of every role, and CloudFormation's role, which the key policies name.
    bootstrap = load_bootstrap(path)
    of_account = {name: bootstrap[name] for name in ("PermissionsBoundary", "ServiceRole")}
    needs_generation = bootstrap["ServiceRole"] == "true" or bootstrap["PermissionsBoundary"] == PLATFORM_BOUNDARY
    if needs_generation and environment not in (LOCAL, *deployed_environments()):
        raise SettingsError(
            f"{_relative_path(path)}: [{environment}]: permissions boundaries and CloudFormation's role are generated "
            f"for the environments of {_relative_path(ENVIRONMENTS_FILE)}; add [{environment}] there and run "
            "`python generate.py`, or set permissions_boundary to another ARN or to empty, and service_role to false"
        )
    return {"Environment": environment} | _to_parameters(values, Settings) | of_account


def load_rollout(environment: str, path: Path = ENVIRONMENTS_FILE) -> dict[str, Any]:
    """Return the ``Rollout`` settings of ``environment`` by their names. Raises ``SettingsError``."""
    return _check_table(
        _read_environment(environment, path).get(_ROLLOUT, {}),
        Rollout,
        f"{_relative_path(path)}: [{environment}.{_ROLLOUT}]",
    )


def load_bootstrap(path: Path = ENVIRONMENTS_FILE) -> dict[str, str]:
    """Return the parameters of the artifacts stack. Raises ``SettingsError``."""
    place = f"{_relative_path(path)}: [{_BOOTSTRAP}]"
    values = _check_table(_read_file(path).get(_BOOTSTRAP, {}), Bootstrap, place)
    if values["github_repository"] and not values["service_role"]:
        raise SettingsError(f"{place} service_role: it must be true for a github_repository, which deploys with it")
    if values["service_role"] and not values["permissions_boundary"]:
        raise SettingsError(
            f"{place} permissions_boundary: it must be set with a service_role, which makes no role without one; "
            '"platform" is the one that comes with it'
        )
    return _to_parameters(values, Bootstrap)


def _check_table(table: Any, declared_in: type, place: str) -> dict[str, Any]:
    """Return the values of all settings of a class, with defaults. Raises ``SettingsError``."""
    settings = {setting.name: setting for setting in all_settings(declared_in)}
    if not isinstance(table, dict):
        raise SettingsError(f"{place}: it must be a table")
    for key in table:
        if key not in settings:
            shown_key = key if key.isidentifier() else _to_toml(key)
            raise SettingsError(f"{place} {shown_key}: unknown key; allowed are {', '.join(settings)}")
    values = {}
    for name, setting in settings.items():
        value = values[name] = table.get(name, setting.default)
        if value is None:
            raise SettingsError(f"{place} {name}: missing; it must be {setting.allowed}")
        if not setting.accepts(value):
            raise SettingsError(f"{place} {name} = {_to_toml(value)}: it must be {setting.allowed}")
    return values


def _to_parameters(values: Mapping[str, Any], declared_in: type) -> dict[str, str]:
    return {setting.parameter_name: setting.text(values[setting.name]) for setting in all_settings(declared_in)}


def _relative_path(path: Path) -> Path:
    """Return ``path`` relative to the current directory if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _read_environment(environment: str, path: Path) -> Mapping[str, Any]:
    file = _read_file(path)
    path = _relative_path(path)
    for name, table in file.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: {name}: a key outside a table; put it under an environment such as [dev]")
    environments = sorted(name for name in file if name != _BOOTSTRAP)
    if environment not in environments:
        raise SettingsError(f"{path}: no environment [{environment}]; it has {', '.join(environments) or 'none'}")
    if not re.fullmatch(ENVIRONMENT_PATTERN, environment):
        raise SettingsError(
            f"{path}: [{environment}]: a name has 3 to 16 lower-case letters, digits and hyphens, a letter first"
        )
    return file[environment]  # type: ignore[no-any-return]


def _read_file(path: Path) -> dict[str, Any]:
    import tomllib  # only here, because declaring the settings does not need it

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{_relative_path(path)}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{_relative_path(path)}: not TOML: {error}") from error


def _check_pairs(environment: str, table: Mapping[str, Any], path: Path) -> None:
    """Check the settings that depend on each other. Raises ``SettingsError``."""

    def refuse(reason: str) -> NoReturn:
        raise SettingsError(f"{path}: [{environment}] {reason}")

    protocol = table.get("notification_protocol", Settings.notification_protocol.default)
    endpoint = table.get("notification_endpoint", "")
    starts = {"email": "", "https": "https://", "sqs": "arn:"}[protocol]
    if endpoint and (not endpoint.startswith(starts) or (protocol == "email" and "@" not in endpoint)):
        refuse(f"notification_endpoint: it must be one of protocol {protocol}")
    maximum = table.get("maximum_amounts", Settings.maximum_amounts.default)
    high = table.get("high_value_amounts", Settings.high_value_amounts.default)
    if (table.get("gateway") == "stripe") != bool(table.get("gateway_secret_arn")):
        refuse("gateway_secret_arn: it must be set for stripe, and only then")
    if table.get("gateway_secret_key_arn") and not table.get("gateway_secret_arn"):
        refuse("gateway_secret_key_arn: it must be empty without a gateway_secret_arn")
    if set(maximum) != set(high):
        refuse(f"high_value_amounts: it must have the currencies of maximum_amounts, {', '.join(sorted(maximum))}")
    for code in maximum:
        if high[code] > maximum[code]:
            refuse(f"high_value_amounts: {code} is above its maximum amount")


def _to_toml(value: Any) -> str:
    """Return a value as the file contains it, in one line."""
    return json.dumps(value, default=str, ensure_ascii=False)
