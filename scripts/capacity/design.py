"""What is compared: the environment as its settings and templates describe it, the same with Express, the reference."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.common.evaluate import evaluate
from scripts.common.paths import TEMPLATES
from scripts.common.target import pseudo_parameters
from scripts.common.templates import read_tree_from_folder
from stacks import settings
from stacks.compute.runtime import ARCHITECTURE

from . import demands
from .limits import EXPRESS, STANDARD

# Only names of resources contain it, and none is read here.
_ANY_ACCOUNT = "123456789012"
_RECONCILIATIONS_PER_HOUR = 12


@dataclass(frozen=True)
class Design:
    """A way to process payments: what one takes, and what stands in the account for it."""

    name: str
    # measured: its calls were recorded. calculated: they are those of another design, with other prices and limits.
    basis: str
    payment: demands.Usage
    reconciliation: demands.Usage | None
    workflow: str
    # How many resources it has of each type of CloudFormation.
    resources: Mapping[str, int]
    metric_series: int
    # The largest number of write units that one payment takes from the ledger.
    most_ledger_units: float
    memory_mb: int = 256
    architecture: str = ARCHITECTURE
    log_retention_days: int = 1
    logs_workflow: bool = True
    logs_execution_data: bool = False
    masks_logs: bool = False
    traces: bool = True
    recovers_to_point_in_time: bool = True
    backup_retention_days: int = 0
    # 0: none is reserved.
    reserved_concurrency: int = 0
    open_shards: int = 0
    filters_of_a_log_group: int = 0
    gateway: str = "simulator"
    # How many payments a second reconciliation takes to the gateway at most.
    reconciled_per_second: float = 0.0
    subscription_protocol: str = ""
    secrets: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def reconciliations_per_hour(self) -> float:
        return _RECONCILIATIONS_PER_HOUR if self.reconciliation else 0.0

    @property
    def functions(self) -> list[str]:
        return sorted(self.payment.invocations)

    def count(self, resource_type: str) -> int:
        return self.resources.get(f"AWS::{resource_type}", 0)


def describe_environment(environment: str, settings_file: Path, region: str, mix: demands.Mix) -> Design:
    """Return the environment as it would be deployed now. Raises ``SettingsError`` and ``UserError``."""
    parameters = settings.load(environment, settings_file)
    document = demands.load_document()
    tree = read_tree_from_folder(TEMPLATES, "parent.yaml")
    resources = [resource for _, resource in evaluate(tree, parameters, pseudo_parameters(_ANY_ACCOUNT, region)).walk()]
    filters = Counter(str(r.properties["LogGroupName"]) for r in resources if r.type == "AWS::Logs::MetricFilter")
    return Design(
        name=f"{environment} (Standard)",
        basis="measured",
        payment=demands.average_usage(document, mix),
        reconciliation=demands.read_usage(document["reconciliation"]),
        workflow=STANDARD,
        resources=Counter(resource.type for resource in resources),
        metric_series=document["metric_series"],
        most_ledger_units=max(usage["tables"]["ledger"]["write_units"] for usage in document["outcomes"].values()),
        memory_mb=max(r.properties["MemorySize"] for r in resources if r.type == "AWS::Lambda::Function"),
        log_retention_days=int(parameters["LogRetentionDays"]),
        logs_workflow=parameters["WorkflowLogLevel"] == "ALL",
        logs_execution_data=parameters["WorkflowLogExecutionData"] == "true",
        masks_logs=parameters["LogDataProtection"] == "true",
        backup_retention_days=int(parameters["BackupRetentionDays"]),
        reserved_concurrency=int(parameters["ReservedConcurrency"]),
        open_shards=int(parameters["OpenShards"]),
        filters_of_a_log_group=max(filters.values(), default=0),
        gateway=parameters["Gateway"],
        reconciled_per_second=float(parameters["GatewayRequestsPerSecond"]),
        subscription_protocol=parameters["NotificationProtocol"] if parameters["NotificationEndpoint"] else "",
        secrets=int(bool(parameters["GatewaySecretArn"])),
    )


def change_to_express(design: Design) -> Design:
    """Return the design with an Express workflow: the same calls, billed and limited as Express is."""
    name = design.name.replace("Standard", "Express")
    return replace(design, name=name, basis="calculated", workflow=EXPRESS)


def describe_reference(mix: demands.Mix) -> Design:
    """Return the reference's design: the calls of its functions are measured, the rest is read from its definitions."""
    document: dict[str, Any] = demands.load_document(demands.REFERENCE_FILE)
    return Design(
        name="the reference",
        basis="measured and calculated",
        payment=demands.average_usage(document, mix),
        reconciliation=None,
        workflow=STANDARD,
        resources=document["resources"],
        metric_series=document["metric_series"],
        most_ledger_units=0.0,
        memory_mb=document["memory_mb"],
        log_retention_days=document["log_retention_days"],
        logs_execution_data=True,
        traces=False,
        notes=tuple(document["notes"]),
    )
