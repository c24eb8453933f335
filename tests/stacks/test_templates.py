"""The committed templates as text: names, tags, and the wiring of parent and nested stacks.

test_deployed.py checks what the templates become when they are deployed.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.deployer.validate import lint_templates
from stacks.render import render_files
from tests.emitted import NESTED, ROOT, TEMPLATES, find_arguments, find_references, load_template, resources, strings

HOUSE_TAGS = {
    "Environment": {"Ref": "Environment"},
    "Owner": "PaymentTeam",
    "CostCenter": "Engineering",
    "DataClassification": "Sensitive",
}


def test_yaml_and_json_say_the_same() -> None:
    for name, text in render_files("json").items():
        as_json = json.loads(text.replace(".json", ".yaml"))
        assert as_json == load_template(Path(name).stem), name


def test_cfn_lint_has_nothing_to_say_at_any_level() -> None:
    assert lint_templates(sorted((ROOT / "templates").glob("*.yaml"))) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_partition_region_and_account_are_nowhere_written_down(name: str) -> None:
    for text in strings(load_template(name)):
        assert "arn:aws" not in text, text
        assert not re.search(r"\b\d{12}\b", text.split(" ")[0]), text
        assert not re.search(r"\b(us|eu|ap|sa|ca|me|af|cn)-(gov-)?[a-z]+-\d\b", text), text
        assert ".amazonaws.com." not in text


def test_every_name_of_the_reference(templates: dict[str, Any], reference: str) -> None:
    names = {
        f"{resource['Type']} {text.replace('${Environment}', '${env}')}"
        for name in NESTED
        for resource in resources(templates[name]).values()
        for text in strings(resource["Properties"])
    }
    expected = reference.split("[names]\n")[1].split("[outputs]")[0].splitlines()
    assert len(expected) == 25
    assert set(expected) <= names


def test_every_output_of_the_reference_and_no_other(templates: dict[str, Any], reference: str) -> None:
    expected = [
        "".join(part.capitalize() for part in line.split("_")) for line in reference.split("[outputs]\n")[1].split()
    ]
    assert len(expected) == 43
    assert sorted(templates["parent"]["Outputs"]) == sorted(expected)


def test_house_tags_on_everything_that_takes_tags(templates: dict[str, Any]) -> None:
    untaggable = {
        "AWS::Backup::BackupSelection",
        "AWS::CloudWatch::Dashboard",
        "AWS::IAM::ManagedPolicy",
        "AWS::KMS::Alias",
        "AWS::Lambda::Alias",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
        "AWS::Logs::MetricFilter",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    }
    checked = 0
    for template in templates.values():
        for title, resource in resources(template).items():
            if resource["Type"] in untaggable:
                continue
            properties = resource["Properties"]
            # AWS Backup takes a map.
            backup = properties.get("BackupVaultTags") or properties.get("BackupPlanTags")
            tags = backup or {tag["Key"]: tag["Value"] for tag in properties["Tags"]}
            # CloudFormation's role recognizes a plan by this tag: its ARN is an id.
            ownership = {"ManagedBy": "payment-platform"} if "BackupPlanTags" in properties else {}
            assert tags == HOUSE_TAGS | ownership, title
            checked += 1
    assert checked > 26


# Wiring


def test_every_input_of_a_nested_stack_is_given_and_used(templates: dict[str, Any]) -> None:
    for title, resource in resources(templates["parent"]).items():
        child = templates[title.lower()]
        assert set(resource["Properties"]["Parameters"]) == set(child["Parameters"]), title
        body = {key: child[key] for key in ("Resources", "Outputs", "Conditions") if key in child}
        assert set(child["Parameters"]) <= find_references(body), title


def test_every_output_of_a_nested_stack_is_read_and_exists(templates: dict[str, Any]) -> None:
    outputs = {(title.lower(), name) for title, name in find_arguments("Fn::GetAtt", templates["parent"])}
    assert outputs == {(name, f"Outputs.{output}") for name in NESTED for output in templates[name]["Outputs"]}


def test_every_parameter_of_the_parent_is_used(templates: dict[str, Any]) -> None:
    parent = templates["parent"]
    pseudo_parameters = {"AWS::AccountId", "AWS::Region"}
    assert set(parent["Parameters"]) == find_references(parent["Resources"]) - pseudo_parameters


def test_nested_stacks_are_named_by_local_path(templates: dict[str, Any]) -> None:
    urls = [stack["Properties"]["TemplateURL"] for stack in resources(templates["parent"]).values()]
    assert urls == [f"./{name}.yaml" for name in NESTED]


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_deletion_policy_keeps_what_a_failed_creation_made(name: str) -> None:
    """With ``Retain``, the name of the resource would block the next attempt.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    for title, resource in resources(load_template(name)).items():
        policy = resource.get("DeletionPolicy")
        assert policy in (None, "Delete", "RetainExceptOnCreate"), title
        # A replaced resource holds data, whenever the replacement happens.
        assert policy != "RetainExceptOnCreate" or resource["UpdateReplacePolicy"] == "Retain", title


def test_every_value_arrives_under_its_own_name(templates: dict[str, Any]) -> None:
    """Otherwise a topic may be encrypted with the table's key, or two functions have each other's role."""
    checked = 0
    for title, stack in resources(templates["parent"]).items():
        for parameter, value in stack["Properties"]["Parameters"].items():
            source = value["Fn::GetAtt"][1].removeprefix("Outputs.") if "Fn::GetAtt" in value else value["Ref"]
            assert source == parameter, f"{title}.{parameter} is given {source}"
            checked += 1
    assert checked > 40


def test_a_version_is_published_for_every_setting_that_a_function_has(templates: dict[str, Any]) -> None:
    """A variable that the description leaves out would keep its old value behind the alias for ever."""
    for title in ("Validation", "Processing", "Reconciliation"):
        compute = templates["compute"]["Resources"]
        function = compute[f"{title}Function"]["Properties"]
        described = compute[f"{title}Version"]["Properties"]["Description"]["Fn::Join"][1]
        assert re.fullmatch("code-[0-9a-f]{16}", described[0])
        if "Layers" in function:
            # Only where the layer is attached; test_versions.py checks what the digest covers.
            condition, layer, no_layer = described[-1]["Fn::If"]
            assert (condition, no_layer) == (function["Layers"]["Fn::If"][0], "no-layer")
            assert re.fullmatch("layer-[0-9a-f]{8}", layer)
        variables = find_references([function["Environment"], function["LoggingConfig"]["ApplicationLogLevel"]])
        # These follow from the environment, which a stack never changes.
        constants = {"Environment", "TableName", "LedgerTableName", "TopicArn", "QueueUrl"}
        assert {part["Ref"] for part in described[1:] if "Ref" in part} == variables - constants
