"""Whatever resource a user adds, templates are written, drawn and compared; what troposphere refuses is one line."""

import contextlib
import copy
import functools
import importlib
import json
import pkgutil
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import troposphere
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from troposphere import AWSObject, BaseAWSObject, Equals, Output, Ref, Tags

from scripts import pictures
from scripts.audit import deployed, privileges, results
from scripts.common.errors import UserError
from scripts.common.packaging import Destination
from scripts.common.templates import Tree, parse_template
from scripts.deployer.package import package_templates
from scripts.deployer.planning import compare_trees
from scripts.deployer.report.markdown import render_plan
from stacks import emit, render
from stacks import settings as stack_settings
from stacks.wiring import CheckedTemplate, ResourceError
from tests.emitted import NESTED, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PARAMETERS = stack_settings.load("dev")
PSEUDO = deployed.PSEUDO
STACKS = {name: importlib.import_module(f"stacks.{name}.stack") for name in NESTED}
# Conditions of the stack with the added resources.
CONDITIONS = {"AddedIsTrue": Equals("a", "a"), "AddedIsFalse": Equals("a", "b")}


@functools.cache
def list_classes() -> list[type[AWSObject]]:
    """Return every class of troposphere that stands for a resource type, once for each type."""
    classes: dict[str, type[AWSObject]] = {}
    for module in pkgutil.iter_modules(troposphere.__path__):
        if not module.ispkg:
            for class_ in vars(importlib.import_module(f"troposphere.{module.name}")).values():
                kind = getattr(class_, "resource_type", None)
                if isinstance(class_, type) and isinstance(kind, str):
                    classes.setdefault(kind, class_)
    return [classes[kind] for kind in sorted(classes)]


BEFORE = render.build_documents()


@contextlib.contextmanager
def suppress_refusal(pattern: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        if not re.search(pattern, str(error)):
            raise


TEXTS = st.one_of(
    st.sampled_from(["", "*", "a", "true", "2012-10-17", "arn:aws:s3:::receipts/*", "rate(5 minutes)", "${Environment}",
                     "https://example.com/a.yaml", "|", "a\nb", "<&\"'"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=8),
)  # fmt: skip
LITERALS = st.one_of(TEXTS, st.integers(-1, 10**6), st.booleans(), st.floats(0, 9, width=16))


@st.composite
def call_function(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Return a call of a function around values, on a name that the stack may have or not."""
    name = draw(st.sampled_from(["Environment", "Added0", "Added1", "ValidationFunction", "AWS::NoValue"]))
    condition = draw(st.sampled_from(list(CONDITIONS)))
    match draw(st.sampled_from(["Ref", "GetAtt", "Sub", "Sub of a list", "If", "Join", "Select"])):
        case "Ref":
            return {"Ref": name}
        case "GetAtt":
            return {"Fn::GetAtt": [name, "Arn"]}
        case "Sub":
            return {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::${{{name}}}/*"}
        case "Sub of a list":
            return {"Fn::Sub": ["a-${Value}", {"Value": draw(values)}]}
        case "If":
            return {"Fn::If": [condition, draw(values), draw(values)]}
        case "Join":
            return {"Fn::Join": ["-", draw(st.lists(values, max_size=3))]}
    return {"Fn::Select": ["0", draw(st.lists(values, min_size=1, max_size=3))]}


JSON_VALUES = st.recursive(
    LITERALS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3), call_function(inner)
    ),
    max_leaves=4,
)
STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Principal": st.one_of(
            st.just("*"),
            st.builds(lambda service: {"Service": service}, st.one_of(st.just("events.amazonaws.com"), JSON_VALUES)),
            JSON_VALUES,
        ),
        "Resource": st.one_of(call_function(TEXTS), JSON_VALUES),
    },
    optional={"Action": st.one_of(st.just("s3:GetObject"), st.lists(JSON_VALUES), call_function(TEXTS))},
)
POLICIES = st.builds(
    lambda statements: {"Version": "2012-10-17", "Statement": statements},
    st.one_of(STATEMENTS, st.lists(st.one_of(STATEMENTS, STATEMENTS, JSON_VALUES), max_size=2), JSON_VALUES),
)


def values_of(expected: Any, depth: int) -> st.SearchStrategy[Any]:
    """Return values of a property by the type that troposphere declares, or functions that return one."""
    if isinstance(expected, list):
        plain = st.lists(values_of(expected[0], depth), max_size=2)
    elif isinstance(expected, type) and issubclass(expected, BaseAWSObject) and depth:
        plain = properties_of(expected, depth - 1)
    elif expected is Tags:
        plain = st.just([{"Key": "Owner", "Value": {"Ref": "Environment"}}])
    elif isinstance(expected, types.FunctionType) and "policy" in expected.__name__:
        plain = POLICIES
    elif expected in (dict, str, bool):
        plain = st.one_of(LITERALS, JSON_VALUES)
    else:
        plain = LITERALS
    return st.one_of(plain, plain, call_function(plain))


def properties_of(class_: type[BaseAWSObject], depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Return some properties of a class, the required ones among them or not."""
    names = st.lists(st.sampled_from(sorted(class_.props)), unique=True, max_size=5) if class_.props else st.just([])
    # Two of three resources with a policy have it.
    read_names = st.sampled_from([READ_PROPERTIES, READ_PROPERTIES, frozenset[str]()])
    return st.builds(lambda *chosen: {*chosen[0], *(chosen[1] & set(class_.props))}, names, read_names).flatmap(
        lambda chosen: st.fixed_dictionaries({name: values_of(class_.props[name][0], depth) for name in sorted(chosen)})
    )


READ_PROPERTIES = frozenset({"KeyPolicy", "PolicyDocument", "ManagedPolicyArns", "FunctionName", "Principal"})
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "Condition": st.sampled_from(list(CONDITIONS)),
        "DependsOn": st.just(["Added0"]),
        "DeletionPolicy": st.just("Retain"),
        "Metadata": st.dictionaries(st.just("Note"), JSON_VALUES),
    },
)


# Half of the resources are of the types into which the pictures and the plan look.
KINDS = {
    "AWS::Events::Rule", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role", "AWS::KMS::Key", "AWS::Lambda::Function",
    "AWS::Lambda::Permission", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::StepFunctions::StateMachine",
}  # fmt: skip
FAMILIAR = [class_ for class_ in list_classes() if class_.resource_type in KINDS]
CLASSES = st.one_of(st.sampled_from(FAMILIAR), st.sampled_from(list_classes()))


@st.composite
def added_resources(draw: st.DrawFn) -> list[AWSObject]:
    """Return resources of any types, of which troposphere checks nothing."""
    resources = []
    for number, class_ in enumerate(draw(st.lists(CLASSES, min_size=1, max_size=5))):
        resource = class_(f"Added{number}", validation=False)
        resource.properties.update(draw(properties_of(class_)))
        resource.resource.update(draw(ATTRIBUTES))
        resources.append(resource)
    return resources


def build_with(stack: str, resources: list[AWSObject]) -> dict[str, dict[str, Any]]:
    """Build all templates, the one of ``stack`` with more resources and with an output that refers to the first."""
    build = STACKS[stack].build

    def build_and_add(template: Any, inputs: Any) -> Any:
        outputs = build(template, inputs)
        for name, condition in CONDITIONS.items():
            template.add_condition(name, condition)
        for resource in resources:
            template.add_resource(resource)
        template.add_output(Output("Added", Value=Ref(resources[0])))
        return outputs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STACKS[stack], "build", build_and_add)
        return render.build_documents()


def make_tree(documents: dict[str, dict[str, Any]]) -> Tree:
    return Tree(documents["parent"], {name.title(): Tree(documents[name]) for name in NESTED})


TREE = make_tree(BEFORE)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(NESTED), added_resources())
def test_any_resource_is_written_drawn_and_compared(stack: str, resources: list[AWSObject]) -> None:
    documents = build_with(stack, resources)
    assert set(documents[stack]["Resources"]) == {*BEFORE[stack]["Resources"], *(added.title for added in resources)}
    # What is written is what was declared: the short forms of YAML lose nothing.
    assert parse_template(emit.as_yaml(documents[stack])) == parse_template(json.dumps(documents[stack]))
    for drawing in pictures.render_pictures(documents, README).values():
        assert drawing
    results.Suppressions(documents)
    # CloudFormation would refuse some of them, too: an index beyond a list, a text where a function takes a list.
    with suppress_refusal(r"cannot take|finds no|not a mapping|nested in itself|is no mapping"):
        compared = compare_trees("payments", (TREE, PARAMETERS), (make_tree(documents), PARAMETERS), PSEUDO)
        assert render_plan(compared.make_offline_plan("a comparison"), "payments")
        deployed.evaluate_templates(documents)


def test_what_a_user_adds_to_the_parent_is_no_stack_of_ours() -> None:
    added = {
        "Receipts": {"Type": "AWS::S3::Bucket"},
        "Shared": {
            "Type": "AWS::CloudFormation::Stack",
            "Properties": {
                "TemplateURL": "https://example.com/a.yaml",
                "Parameters": {"Topic": {"Fn::GetAtt": ["Data", "Outputs.Missing"]}},
            },
        },
    }
    documents = copy.deepcopy(BEFORE)
    resources = documents["parent"]["Resources"]
    resources |= added
    resources["Data"]["Properties"]["Parameters"]["Another"] = {"Fn::GetAtt": ["Security", "Outputs.Missing"]}
    assert "Shared" not in "".join(pictures.render_pictures(documents, README).values())
    assert set(deployed.evaluate_templates(documents)) == {*NESTED, "artifacts"}
    assert privileges.compare_privileges(documents, []).granted


def test_a_resource_of_each_type_without_properties_is_packaged(tmp_path: Path) -> None:
    resources = {f"Added{number}": {"Type": class_.resource_type} for number, class_ in enumerate(list_classes())}
    (tmp_path / "added.yaml").write_text(emit.to_yaml({"Resources": resources}), encoding="utf-8")
    destination = Destination.for_environment("bucket", "https://s3.example.com", "dev")
    assert len(package_templates(tmp_path / "added.yaml", destination).files) == 1


def test_a_resource_that_lacks_a_property_is_refused_in_one_line() -> None:
    refusals = []
    for class_ in list_classes():
        try:
            CheckedTemplate().add_resource(class_("Added"))
        except ResourceError as error:
            refusals.append(str(error))
    assert 500 < len(refusals) < len(list_classes())
    for refusal in refusals:
        assert re.fullmatch(r"Added: \S.*", refusal)
        assert "troposphere" not in refusal
