"""Declares the settings, and reads them from environments.toml.

A setting of an environment is also a parameter of the parent template. One declaration is the source of both, so the
file and CloudFormation accept the same values.
"""

import difflib
import json
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .setting_kinds import Amounts, Choice, Flag, Number, Setting, Text, describe_mismatch

ENVIRONMENTS_FILE = Path(__file__).with_name("environments.toml")
ENVIRONMENT_PATTERN = "[a-z][a-z0-9-]{0,14}[a-z0-9]"
# The environment on the local AWS emulator.
LOCAL = "local"
# The value of permissions_boundary that selects the boundaries of the artifacts stack.
PLATFORM_BOUNDARY = "platform"


class SettingsError(Exception):
    """A settings file is invalid. The message has a line for each mistake, with file, key and accepted values."""


class UnknownEnvironment(SettingsError):
    """The settings file has no table of this name."""


# The value of traffic_shift with which CodeDeploy takes no part.
ALL_AT_ONCE = "AllAtOnce"
# How long a dead letter waits. It can be redriven until then, which needs the customer.
DEAD_LETTER_DAYS = 14
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
    # The third value is the way back: it ends the executions of the Express workflow before "standard" deletes it.
    workflow_type = Choice(
        "The workflow that receives payments: Standard; Express beside it; or Standard again, with Express to its end",
        among=("standard", "express", "standard-after-express"),
        default="standard",
    )
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
    # DynamoDB writes at most 1,000 units a second to one partition, and each shard is one key of the index:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
    open_shards = Number(
        "Shards of the index of open payments, each for at most 1,000 write units a second",
        default=8,
        minimum=1,
        maximum=64,  # MAXIMUM_SHARDS of lambda/adapters/stored_items.py
    )
    # The concurrency of an inline Map: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html
    reconciliation_workers = Number(
        "Workers of a run of reconciliation, which need as many concurrent executions of its function",
        default=8,
        minimum=1,
        maximum=40,
    )
    # CodeDeploy's predefined configurations without their prefix CodeDeployDefault.Lambda, but none that ends before an
    # alarm of five minutes can go off, or takes hours. AllAtOnce is CloudFormation's own update, without CodeDeploy.
    # https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
    traffic_shift = Choice(
        "How invocations move to a new version of a function: at once, or step by step while CodeDeploy watches alarms",
        among=(
            ALL_AT_ONCE,
            "Canary10Percent10Minutes",
            "Canary10Percent30Minutes",
            "Linear10PercentEvery1Minute",
            "Linear10PercentEvery3Minutes",
        ),
        default=ALL_AT_ONCE,
    )
    customer_data_days = Number(
        "Days after its last step until a finished payment loses its customer; 0 keeps it until an operator erases it",
        default=0,
        maximum=3650,
    )
    gateway = Choice("The payment gateway", among=("simulator", "stripe"))
    gateway_secret_arn = Text(
        "The Secrets Manager secret that holds the gateway's API key; empty for the simulator",
        default="",
        # The description of a version contains it, and has 256 characters.
        pattern=r"|arn:[a-z-]{3,10}:secretsmanager:\S{1,150}",
        wording="the ARN of a Secrets Manager secret, of at most 180 characters, or empty",
    )
    gateway_secret_key_arn = Text(
        "The customer-managed KMS key of the gateway's secret; empty if the secret uses aws/secretsmanager",
        default="",
        pattern=r"|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+",
        wording="the ARN of a KMS key (not of an alias), or empty",
    )
    gateway_requests_per_second = Number(
        "Payments a second that a run of reconciliation takes to the gateway, all its workers together; 0 for no limit",
        default=25,
        maximum=10_000,
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

    # Text, because TOML has no numbers that begin with 0.
    account = Text(
        "The account that the environment belongs to; no command reaches another. Empty for any",
        default="",
        pattern=r"|[0-9]{12}",
        wording="the 12 digits of an AWS account in quotes, or empty",
    )
    region = Text(
        "The Region that the environment belongs to, and the default Region of its commands. Empty for any",
        default="",
        pattern=r"|[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}",
        wording="a Region such as eu-central-1, or empty",
    )
    termination_protection = Flag("Whether the stack has termination protection", False)
    stack_policy = Flag(
        "Whether a stack policy denies replacing or deleting resources that hold data, unless confirmed by name", False
    )
    rollback_on_alarms = Flag(
        "Whether the platform's alarms are rollback triggers, from the second deployment on", True
    )
    express = Flag("Whether deploy.sh --express is allowed: a deployment that does not wait for ready resources", False)
    code_only = Flag("Whether deploy.sh code-only is allowed: new code in the functions without a deployment", False)
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackConfiguration.html
    monitoring_minutes = Number(
        "Minutes that CloudFormation monitors the alarms after a deployment", default=0, maximum=180
    )


BOOTSTRAP, _ROLLOUT = "bootstrap", "rollout"
# Where each class of settings stands in the file.
_TABLES: dict[type, str] = {
    Settings: "[ENVIRONMENT]",
    Rollout: f"[ENVIRONMENT.{_ROLLOUT}]",
    Bootstrap: f"[{BOOTSTRAP}]",
}
_PROTECTIONS = (Rollout.termination_protection.name, Rollout.stack_policy.name)


def all_settings(declared_in: type = Settings) -> list[Setting]:
    return [value for value in vars(declared_in).values() if isinstance(value, Setting)]


def deployed_environments(path: Path = ENVIRONMENTS_FILE) -> tuple[str, ...]:
    """Return the environments that are deployed to AWS, in alphabetical order, without those of an invalid name.

    Raises ``SettingsError`` for a file that cannot be read. ``check_file`` refuses invalid names and values.
    """
    names = _read_file(path).keys() - {BOOTSTRAP, LOCAL}
    return tuple(sorted(name for name in names if re.fullmatch(ENVIRONMENT_PATTERN, name)))


def unprotected_environments(path: Path = ENVIRONMENTS_FILE) -> tuple[str, ...]:
    """Return the deployed environments that have neither termination protection nor a stack policy.

    A protection with a mistake in its name or value counts as one, so that a mistake takes nothing away and does not
    change what is generated for the other environments. Raises ``SettingsError`` for a file that cannot be read.
    """
    file = _read_file(path)
    return tuple(name for name in deployed_environments(path) if not _is_protected(file[name].get(_ROLLOUT, {})))


def code_only_environments(path: Path = ENVIRONMENTS_FILE) -> tuple[str, ...]:
    """Return the unprotected environments whose functions may get new code without a deployment.

    Raises ``SettingsError`` for a file that cannot be read.
    """
    file = _read_file(path)
    return tuple(
        name
        for name in unprotected_environments(path)
        if file[name].get(_ROLLOUT, {}).get(Rollout.code_only.name) is True
    )


def shifting_environments(path: Path = ENVIRONMENTS_FILE) -> tuple[str, ...]:
    """Return the deployed environments in which CodeDeploy may act: those whose settings name a ``traffic_shift``.

    Whichever it is: with the one that does without CodeDeploy, a deployment can be faster than an alarm, and that must
    not wait for other rights. Raises ``SettingsError`` for a file that cannot be read.
    """
    file = _read_file(path)
    return tuple(name for name in deployed_environments(path) if Settings.traffic_shift.name in file[name])


def _is_protected(rollout: Any) -> bool:
    if not isinstance(rollout, dict):
        return True
    names = [setting.name for setting in all_settings(Rollout)]
    return any(value is not False and _find_nearest(key, names) in _PROTECTIONS for key, value in rollout.items())


def load(environment: str, path: Path = ENVIRONMENTS_FILE) -> dict[str, str]:
    """Return the parent template's parameters for ``environment``.

    Raises ``SettingsError`` for a file that cannot be read and for an environment that is not in it; and, with a line
    for each, for the mistakes of the environment, its rollout and the bootstrap settings. Mistakes of other
    environments are not looked for.
    """
    file = _read_file(path)
    table = _find_environment(file, environment, path)
    mistakes = [*_list_environment_mistakes(environment, table, path), *_list_bootstrap_mistakes(file, path)]
    _refuse_mistakes(mistakes)
    # Settings of the account: the boundary of every role, and CloudFormation's role, which the key policies name.
    bootstrap = load_bootstrap(path)
    of_account = {name: bootstrap[name] for name in ("PermissionsBoundary", "ServiceRole")}
    return {"Environment": environment} | _to_parameters(_fill_defaults(table, Settings), Settings) | of_account


def load_rollout(environment: str, path: Path = ENVIRONMENTS_FILE) -> dict[str, Any]:
    """Return the ``Rollout`` settings of ``environment`` by their names. Raises ``SettingsError``."""
    rollout = _find_environment(_read_file(path), environment, path).get(_ROLLOUT, {})
    _refuse_mistakes(_list_mistakes(rollout, Rollout, _name_rollout(environment, path)))
    return _fill_defaults(rollout, Rollout)


def load_bootstrap(path: Path = ENVIRONMENTS_FILE) -> dict[str, str]:
    """Return the parameters of the artifacts stack. Raises ``SettingsError``."""
    file = _read_file(path)
    _refuse_mistakes(_list_bootstrap_mistakes(file, path))
    return _to_parameters(_fill_defaults(file.get(BOOTSTRAP, {}), Bootstrap), Bootstrap)


def check_file(path: Path = ENVIRONMENTS_FILE) -> None:
    """Raise ``SettingsError`` with a line for each mistake of every environment and of the bootstrap settings."""
    file = _read_file(path)
    mistakes = [
        mistake
        for environment, table in file.items()
        if environment != BOOTSTRAP
        for mistake in _list_environment_mistakes(environment, table, path)
    ]
    _refuse_mistakes([*_list_bootstrap_mistakes(file, path), *mistakes])


def describe_missing_generation(environment: str, path: Path = ENVIRONMENTS_FILE) -> str:
    """Return why ``environment`` cannot be deployed with the templates in ``templates/``; empty if it can.

    They contain boundaries, and rights of CloudFormation's role, for the environments of the committed file only.
    """
    bootstrap = load_bootstrap(path)
    needs_generation = bootstrap["ServiceRole"] == "true" or bootstrap["PermissionsBoundary"] == PLATFORM_BOUNDARY
    if not needs_generation or environment == LOCAL:
        return ""
    if environment in deployed_environments():
        is_shifting = load(environment, path)[Settings.traffic_shift.parameter_name] != ALL_AT_ONCE
        if not is_shifting or environment in shifting_environments():
            return ""
        return (
            f"{_relative_path(path)}: [{environment}] traffic_shift: CodeDeploy's rights are generated for the "
            f"environments of {_relative_path(ENVIRONMENTS_FILE)} that set it; set it there, too, and run "
            "`python3 generate.py`"
        )
    return (
        f"{_relative_path(path)}: [{environment}]: permissions boundaries and CloudFormation's role are generated for "
        f"the environments of {_relative_path(ENVIRONMENTS_FILE)}; add [{environment}] there and run "
        "`python3 generate.py`, or set permissions_boundary to another ARN or to empty, and service_role to false"
    )


def _refuse_mistakes(mistakes: list[str]) -> None:
    if mistakes:
        raise SettingsError("\n".join(mistakes))


def _list_environment_mistakes(environment: str, table: Mapping[str, Any], path: Path) -> list[str]:
    place = f"{_relative_path(path)}: [{environment}]"
    if not re.fullmatch(ENVIRONMENT_PATTERN, environment):
        return [
            f"{place}: a name has 2 to 16 lower-case letters, digits and hyphens, a letter first and no hyphen last"
        ]
    settings = {key: value for key, value in table.items() if key != _ROLLOUT}
    # Settings that depend on each other are compared once each of them is valid.
    mistakes = _list_mistakes(settings, Settings, place) or [f"{place} {pair}" for pair in _list_wrong_pairs(settings)]
    rollout = table.get(_ROLLOUT, {})
    if environment == LOCAL and isinstance(rollout, dict) and (rollout.get("account") or rollout.get("region")):
        mistakes.append(f"{_name_rollout(environment, path)}: the AWS emulator has neither account nor region")
    mistakes += _list_mistakes(rollout, Rollout, _name_rollout(environment, path))
    return mistakes or list(_list_mistakes_of_shift(environment, settings, rollout, path))


def _list_mistakes_of_shift(
    environment: str, table: Mapping[str, Any], rollout: Mapping[str, Any], path: Path
) -> Iterator[str]:
    """Yield what a setting that shifts traffic step by step cannot go with, in valid settings."""
    shift = table.get("traffic_shift", ALL_AT_ONCE)
    if shift == ALL_AT_ONCE:
        return
    if environment == LOCAL:
        place = f"{_relative_path(path)}: [{environment}] traffic_shift"
        yield f"{place}: it must be {_to_toml(ALL_AT_ONCE)}, because the AWS emulator has no CodeDeploy"
    # https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html: an alias with weights has no $LATEST.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-express-mode.html
    for flag, reason in (
        (Rollout.code_only, "it points the alias to $LATEST, for which Lambda splits no traffic"),
        (Rollout.express, "it would not wait for the end of the shift"),
    ):
        if rollout.get(flag.name):
            place = f"{_name_rollout(environment, path)} {flag.name}"
            yield f"{place}: it must be false with traffic_shift = {_to_toml(shift)}, because {reason}"


def _list_bootstrap_mistakes(file: Mapping[str, Any], path: Path) -> list[str]:
    table, place = file.get(BOOTSTRAP, {}), f"{_relative_path(path)}: [{BOOTSTRAP}]"
    if mistakes := _list_mistakes(table, Bootstrap, place):
        return mistakes
    values = _fill_defaults(table, Bootstrap)
    if values["github_repository"] and not values["service_role"]:
        mistakes.append(f"{place} service_role: it must be true for a github_repository, which deploys with it")
    if values["service_role"] and not values["permissions_boundary"]:
        mistakes.append(
            f"{place} permissions_boundary: it must be set with a service_role, which makes no role without one; "
            '"platform" is the one that comes with it'
        )
    return mistakes


def _list_mistakes(table: Any, declared_in: type, place: str) -> list[str]:
    """Return a line for each unknown key, missing value and invalid value of a table."""
    if not isinstance(table, dict):
        return [f"{place}: {describe_mismatch(dict, table)}"]
    settings = {setting.name: setting for setting in all_settings(declared_in)}
    mistakes = [
        f"{place} {key if key.isidentifier() else _to_toml(key)}: unknown key; {_suggest_key(key, declared_in)}"
        for key in table
        if key not in settings
    ]
    for name, setting in settings.items():
        value = table.get(name, setting.default)
        if value is None:
            mistakes.append(f"{place} {name}: missing; it must be {setting.allowed}")
        elif not setting.accepts(value):
            mistakes.append(f"{place} {name} = {_to_toml(value)}: {setting.describe_mistake(value)}")
    return mistakes


def _suggest_key(key: str, declared_in: type) -> str:
    """Return what may be meant by a key that its table does not have."""
    for declaring_class, place in _TABLES.items():
        if declaring_class is not declared_in and key in {setting.name for setting in all_settings(declaring_class)}:
            return f"it belongs in {place}"
    names = [setting.name for setting in all_settings(declared_in)]
    nearest = _find_nearest(key, [*names, _ROLLOUT] if declared_in is Settings else names)
    suggestion = f"did you mean {nearest}? " if nearest else ""
    return f"{suggestion}stacks/settings.py describes the keys of {_TABLES[declared_in]}"


def _find_nearest(key: str, names: Sequence[str]) -> str:
    """Return the name that a key may be a mistyped form of; empty if there is none."""
    return next(iter(difflib.get_close_matches(key, names, n=1)), "")


def _fill_defaults(table: Mapping[str, Any], declared_in: type) -> dict[str, Any]:
    """Return the values of all settings of a class, with defaults."""
    return {setting.name: table.get(setting.name, setting.default) for setting in all_settings(declared_in)}


def _to_parameters(values: Mapping[str, Any], declared_in: type) -> dict[str, str]:
    return {setting.parameter_name: setting.text(values[setting.name]) for setting in all_settings(declared_in)}


def _name_rollout(environment: str, path: Path) -> str:
    return f"{_relative_path(path)}: [{environment}.{_ROLLOUT}]"


def _relative_path(path: Path) -> Path:
    """Return ``path`` relative to the current directory if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _find_environment(file: Mapping[str, Any], environment: str, path: Path) -> Mapping[str, Any]:
    """Return the table of an environment. Raises ``UnknownEnvironment`` if the file has none."""
    environments = sorted(name for name in file if name != BOOTSTRAP)
    if environment not in environments:
        nearest = _find_nearest(environment, environments)
        suggestion = f"did you mean {nearest}? " if nearest else ""
        raise UnknownEnvironment(
            f"{_relative_path(path)}: no environment [{environment}]; {suggestion}it has "
            f"{', '.join(environments) or 'none'}"
        )
    return file[environment]  # type: ignore[no-any-return]


def _read_file(path: Path) -> dict[str, Any]:
    """Return the tables of a file. Raises ``SettingsError`` for one that cannot be read, or has a key outside them."""
    import tomllib  # only here, because declaring the settings does not need it

    shown_path = _relative_path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # A pipe has its text only once, and a command reads it several times.
            raise SettingsError(f"{shown_path}: not a regular file; name a file on the disk")
        file = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{shown_path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # also of a character that is not UTF-8, and of a number with too many digits
        raise SettingsError(f"{shown_path}: not TOML: {error}") from error
    except RecursionError:
        raise SettingsError(f"{shown_path}: not TOML: nested too deeply") from None
    _refuse_mistakes(
        [
            f"{shown_path}: {name}: a key outside a table; put it under an environment such as [dev]"
            for name, table in file.items()
            if not isinstance(table, dict)
        ]
    )
    return file


def _list_wrong_pairs(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the mistakes of settings that depend on each other, each of which is valid."""
    protocol = table.get("notification_protocol", Settings.notification_protocol.default)
    endpoint = table.get("notification_endpoint", "")
    starts = {"email": "", "https": "https://", "sqs": "arn:"}[protocol]
    if endpoint and (not endpoint.startswith(starts) or (protocol == "email" and "@" not in endpoint)):
        yield f"notification_endpoint: it must be one of protocol {protocol}"
    maximum = table.get("maximum_amounts", Settings.maximum_amounts.default)
    high = table.get("high_value_amounts", Settings.high_value_amounts.default)
    if 0 < table.get("customer_data_days", 0) < DEAD_LETTER_DAYS:
        yield f"customer_data_days: it must be 0, or at least {DEAD_LETTER_DAYS}, while a dead letter can be redriven"
    if (table.get("gateway") == "stripe") != bool(table.get("gateway_secret_arn")):
        yield "gateway_secret_arn: it must be set for stripe, and only then"
    if table.get("gateway_secret_key_arn") and not table.get("gateway_secret_arn"):
        yield "gateway_secret_key_arn: it must be empty without a gateway_secret_arn"
    if set(maximum) != set(high):
        yield f"high_value_amounts: it must have the currencies of maximum_amounts, {', '.join(sorted(maximum))}"
    for code in sorted(maximum.keys() & high):
        if high[code] > maximum[code]:
            yield f"high_value_amounts: {code} is above its maximum amount"


def _to_toml(value: Any) -> str:
    """Return a value as the file contains it, in one line."""
    return json.dumps(value, default=str, ensure_ascii=False)
