"""The committed templates: names, tags, and the wiring of parent and nested stacks.

test_deployed.py checks the deployed resources.
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


def test_the_yaml_and_json_templates_are_equal() -> None:
    for name, text in render_files("json").items():
        as_json = json.loads(text.replace(".json", ".yaml"))
        assert as_json == load_template(Path(name).stem), name


def test_cfn_lint_finds_nothing_at_any_level() -> None:
    assert lint_templates(sorted((ROOT / "templates").glob("*.yaml"))) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_names_a_partition_region_or_account(name: str) -> None:
    for text in strings(load_template(name)):
        assert "arn:aws" not in text, text
        assert not re.search(r"\b\d{12}\b", text.split(" ")[0]), text
        assert not re.search(r"\b(us|eu|ap|sa|ca|me|af|cn)-(gov-)?[a-z]+-\d\b", text), text
        assert ".amazonaws.com." not in text


def test_the_templates_have_every_name_of_the_reference(templates: dict[str, Any], reference: str) -> None:
    names = {
        f"{resource['Type']} {text.replace('${Environment}', '${env}')}"
        for name in NESTED
        for resource in resources(templates[name]).values()
        for text in strings(resource["Properties"])
    }
    expected = reference.split("[names]\n")[1].split("[outputs]")[0].splitlines()
    assert len(expected) == 25
    assert set(expected) <= names


def test_the_outputs_are_those_of_the_reference(templates: dict[str, Any], reference: str) -> None:
    expected = [
        "".join(part.capitalize() for part in line.split("_")) for line in reference.split("[outputs]\n")[1].split()
    ]
    assert len(expected) == 43
    assert sorted(templates["parent"]["Outputs"]) == sorted(expected)


def test_every_taggable_resource_has_the_house_tags(templates: dict[str, Any]) -> None:
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
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    }
    checked = 0
    for template in templates.values():
        for title, resource in resources(template).items():
            if resource["Type"] in untaggable:
                continue
            properties = resource.get("Properties", {})
            # AWS Backup takes a mapping of tags.
            backup = properties.get("BackupVaultTags") or properties.get("BackupPlanTags")
            tags = backup or {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
            # CloudFormation's role identifies a backup plan by this tag, because its ARN is a generated id.
            ownership = {"ManagedBy": "payment-platform"} if "BackupPlanTags" in properties else {}
            assert tags == HOUSE_TAGS | ownership, (
                f"{title} needs Tags=platform_tags() (stacks/wiring.py), or its type is untaggable: say so in this test"
            )
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
    assert set(parent["Parameters"]) == find_references(parent["Resources"]) - pseudo_parameters, (
        "each setting of stacks/settings.py is an input of a stack: NAME: Value = Settings.NAME.ref in its Inputs"
    )


def test_nested_stacks_are_named_by_local_path(templates: dict[str, Any]) -> None:
    urls = [stack["Properties"]["TemplateURL"] for stack in resources(templates["parent"]).values()]
    assert urls == [f"./{name}.yaml" for name in NESTED]


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_resource_of_a_failed_creation_is_kept(name: str) -> None:
    """With ``Retain``, a leftover resource would block the name in the next attempt.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    for title, resource in resources(load_template(name)).items():
        policy = resource.get("DeletionPolicy")
        assert policy in (None, "Delete", "RetainExceptOnCreate"), title
        # A replaced resource holds data as well.
        assert policy != "RetainExceptOnCreate" or resource["UpdateReplacePolicy"] == "Retain", title


def test_every_value_is_passed_under_its_own_name(templates: dict[str, Any]) -> None:
    """Otherwise, a topic could get the table's key, or two functions each other's role."""
    checked = 0
    for title, stack in resources(templates["parent"]).items():
        for parameter, value in stack["Properties"]["Parameters"].items():
            source = value["Fn::GetAtt"][1].removeprefix("Outputs.") if "Fn::GetAtt" in value else value["Ref"]
            assert source == parameter, f"{title}.{parameter} is given {source}"
            checked += 1
    assert checked > 40


def test_a_version_is_published_for_every_setting_that_a_function_has(templates: dict[str, Any]) -> None:
    """A change of a variable that the description omits would never reach the alias."""
    for title in ("Validation", "Processing", "Reconciliation"):
        compute = templates["compute"]["Resources"]
        function = compute[f"{title}Function"]["Properties"]
        described = compute[f"{title}Version"]["Properties"]["Description"]["Fn::Join"][1]
        assert re.fullmatch("code-[0-9a-f]{16}", described[0])
        if "Layers" in function:
            # The digest is there only with the layer; test_versions.py checks what it covers.
            condition, layer, no_layer = described[-1]["Fn::If"]
            assert (condition, no_layer) == (function["Layers"]["Fn::If"][0], "no-layer")
            assert re.fullmatch("layer-[0-9a-f]{8}", layer)
        variables = find_references([function["Environment"], function["LoggingConfig"]["ApplicationLogLevel"]])
        # These follow from the environment, which never changes in a stack.
        constants = {"Environment", "TableName", "LedgerTableName", "TopicArn", "QueueUrl"}
        assert {part["Ref"] for part in described[1:] if "Ref" in part} == variables - constants
