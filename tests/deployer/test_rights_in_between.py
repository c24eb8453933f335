"""While the platform is deployed, everything is allowed that the release before or the one after allows.

The emulator's evaluator of policies decides what a template allows. Denials that only one release has do not hold.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.core.iam_evaluator import EvalContext, evaluate, evaluate_resource_policy, parse_policy_document

from scripts.common.errors import UserError
from scripts.common.templates import Template
from scripts.deployer import rights, transition

PSEUDO = {"AWS::AccountId": "1" * 12, "AWS::Region": "r", "AWS::Partition": "aws"}
ALLOW_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
GET_A = {"Effect": "Allow", "Action": ["s:Get"], "Resource": ["a"]}
PUT_B = {"Effect": "Allow", "Action": ["s:Put"], "Resource": ["b"]}
DENY_GET_A = {"Effect": "Deny", "Action": ["s:Get"], "Resource": ["a"]}
DENY_ALL_OF_A = {"Effect": "Deny", "Action": ["s:*"], "Resource": ["a"]}
DENY_ON_MONDAY = {**DENY_GET_A, "Condition": {"StringEquals": {"day": "monday"}}}
DENY_ON_TUESDAY = {**DENY_GET_A, "Condition": {"StringEquals": {"day": "tuesday"}}}


def deny_on_days(*days: str, operator: str = "StringEquals") -> dict[str, Any]:
    return {**DENY_GET_A, "Condition": {operator: {"day": list(days)}}}


DENY_ALL_BUT_PUT = {"Effect": "Deny", "NotAction": ["s:Put"], "Resource": "*"}
DENY_ALL_BUT_BOTH = {"Effect": "Deny", "NotAction": ["s:Put", "s:Get"], "Resource": "*"}
ANNA, BERT = (f"arn:aws:iam::{'1' * 12}:user/{name}" for name in ("anna", "bert"))
READS, WRITES = ("arn:aws:iam::aws:policy/Reads", "arn:aws:iam::aws:policy/Writes")
# What the policies of AWS say that the roles of these tests have.
POLICIES_OF_AWS = {READS: {"Statement": [GET_A]}, WRITES: {"Statement": [PUT_B]}}


def trust_principal(principal: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}


def open_bucket(effect: str) -> dict[str, Any]:
    return {"Effect": effect, "Principal": "*", "Action": "s:Get", "Resource": "a"}


def make_template(**parts: Any) -> Template:
    """Return the template of a role with its policies, of a boundary for other roles, and of a bucket's policy."""
    role: dict[str, Any] = {
        "RoleName": "role",
        "AssumeRolePolicyDocument": {"Statement": parts.get("trust", [trust_principal(ANNA)])},
        "ManagedPolicyArns": [*parts.get("arns", []), *([{"Ref": "Attached"}] if "attached" in parts else [])],
        "Policies": [
            {"PolicyName": f"p{number}", "PolicyDocument": {"Statement": [statement]}}
            for number, statement in enumerate(parts.get("inline", []))
        ],
    }
    if "limit" in parts:
        role["PermissionsBoundary"] = parts["limit"]
    policies = {"Boundary": parts.get("boundary", [ALLOW_ALL])}
    if "attached" in parts:
        policies["Attached"] = parts["attached"]
    documents: dict[str, Any] = {
        name: {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"ManagedPolicyName": name.lower(), "PolicyDocument": {"Statement": statements}},
        }
        for name, statements in policies.items()
    }
    bucket = {"PolicyDocument": {"Statement": parts.get("bucket", [open_bucket("Allow")])}}
    return {
        "Resources": {
            **documents,
            "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            "Bucket": {"Type": "AWS::S3::BucketPolicy", "Properties": bucket},
        }
    }


class Request(NamedTuple):
    """What is asked: of the role, of a role with the boundary, of the bucket, or to assume the role."""

    of: str = "role"
    action: str = "s:Get"
    resource: str = "a"
    day: str = "monday"
    principal: str = ANNA


def is_allowed(template: Template, request: Request) -> bool:
    release = make_release(template)
    role = release.evaluated.resources["Role"].properties
    policies = {
        f"${{{name}}}": resource.properties["PolicyDocument"]
        for name, resource in release.evaluated.resources.items()
        if resource.type == "AWS::IAM::ManagedPolicy"
    } | POLICIES_OF_AWS
    context = EvalContext(
        principal_arn=request.principal,
        principal_type="User",
        principal_account="1" * 12,
        action="sts:AssumeRole" if request.of == "trust" else request.action,
        resource_arn="*" if request.of == "trust" else request.resource,
        region="r",
        service_context={"day": request.day},
    )
    if request.of in ("trust", "bucket"):
        document = role["AssumeRolePolicyDocument"]
        if request.of == "bucket":
            document = release.evaluated.resources["Bucket"].properties["PolicyDocument"]
        return bool(evaluate_resource_policy(document, context).decision == "Allow")
    if request.of == "boundary":
        return bool(evaluate(context, [parse_policy_document(policies["${Boundary}"])]).decision == "Allow")
    documents = [policies[arn] for arn in role["ManagedPolicyArns"]]
    documents += [policy["PolicyDocument"] for policy in role["Policies"]]
    limits = [[parse_policy_document(policies[role["PermissionsBoundary"]])]] if "PermissionsBoundary" in role else []
    return bool(evaluate(context, list(map(parse_policy_document, documents)), *limits).decision == "Allow")


def make_release(template: Template) -> transition.Release:
    return transition.Release.from_template(template, {}, PSEUDO)


def join_releases(before: Template, after: Template, keep: transition.Keep = transition.keep_all) -> Template:
    return transition.add_kept_rights(make_release(before), make_release(after), keep)


# By the kind of change: the parts of both releases, a request, and whether it is allowed before, in between and after.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], Request, str]] = {
    "a boundary loses": ({"boundary": [GET_A, PUT_B]}, {"boundary": [PUT_B]}, Request("boundary"), "yes yes no"),
    "a boundary gains": ({"boundary": [PUT_B]}, {"boundary": [GET_A, PUT_B]}, Request("boundary"), "no yes yes"),
    "a boundary denies": ({}, {"boundary": [ALLOW_ALL, DENY_GET_A]}, Request("boundary"), "yes yes no"),
    "a boundary no longer denies": ({"boundary": [ALLOW_ALL, DENY_GET_A]}, {}, Request("boundary"), "no yes yes"),
    "a denial stays beside a new right": (
        {"boundary": [PUT_B, DENY_GET_A]},
        {"boundary": [ALLOW_ALL, DENY_GET_A]},
        Request("boundary"),
        "no no no",
    ),
    "the condition of a denial changes, on the one day": (
        {"boundary": [ALLOW_ALL, DENY_ON_MONDAY]},
        {"boundary": [ALLOW_ALL, DENY_ON_TUESDAY]},
        Request("boundary"),
        "no yes yes",
    ),
    "the condition of a denial changes, on the other day": (
        {"boundary": [ALLOW_ALL, DENY_ON_MONDAY]},
        {"boundary": [ALLOW_ALL, DENY_ON_TUESDAY]},
        Request("boundary", day="tuesday"),
        "yes yes no",
    ),
    "the days of a denial change, on the day that stays": (
        {"boundary": [ALLOW_ALL, deny_on_days("monday", "tuesday")]},
        {"boundary": [ALLOW_ALL, deny_on_days("tuesday", "sunday")]},
        Request("boundary", day="tuesday"),
        "no no no",
    ),
    "the days of a denial change, on the day that goes": (
        {"boundary": [ALLOW_ALL, deny_on_days("monday", "tuesday")]},
        {"boundary": [ALLOW_ALL, deny_on_days("tuesday", "sunday")]},
        Request("boundary"),
        "no yes yes",
    ),
    "the days of a denial change, on the day that comes": (
        {"boundary": [ALLOW_ALL, deny_on_days("monday", "tuesday")]},
        {"boundary": [ALLOW_ALL, deny_on_days("tuesday", "sunday")]},
        Request("boundary", day="sunday"),
        "yes yes no",
    ),
    "a denial gets other words, where both hold": (
        {"boundary": [ALLOW_ALL, deny_on_days("monday", "tuesday")]},
        {"boundary": [ALLOW_ALL, deny_on_days("monday", operator="StringNotEquals")]},
        Request("boundary", day="tuesday"),
        "no no no",
    ),
    "a denial gets other words, where one holds": (
        {"boundary": [ALLOW_ALL, deny_on_days("monday", "tuesday")]},
        {"boundary": [ALLOW_ALL, deny_on_days("monday", operator="StringNotEquals")]},
        Request("boundary"),
        "no yes yes",
    ),
    "the days without a denial change, on a day that neither has": (
        {"boundary": [ALLOW_ALL, deny_on_days("monday", operator="StringNotEquals")]},
        {"boundary": [ALLOW_ALL, deny_on_days("tuesday", operator="StringNotEquals")]},
        Request("boundary", day="sunday"),
        "no no no",
    ),
    "the days without a denial change, on a day that one has": (
        {"boundary": [ALLOW_ALL, deny_on_days("monday", operator="StringNotEquals")]},
        {"boundary": [ALLOW_ALL, deny_on_days("tuesday", operator="StringNotEquals")]},
        Request("boundary", day="tuesday"),
        "no yes yes",
    ),
    "a denial gets narrower on another condition": (
        {"attached": [ALLOW_ALL, {**deny_on_days("monday", "tuesday"), "Action": "s:*"}]},
        {"attached": [ALLOW_ALL, deny_on_days("tuesday")]},
        Request(day="tuesday"),
        "no no no",
    ),
    "a denial gets a condition, and holds where it stays": (
        {"boundary": [ALLOW_ALL, DENY_GET_A]},
        {"boundary": [ALLOW_ALL, DENY_ON_MONDAY]},
        Request("boundary"),
        "no no no",
    ),
    "a denial gets wider, and holds where it was": (
        {"boundary": [ALLOW_ALL, DENY_GET_A]},
        {"boundary": [ALLOW_ALL, DENY_ALL_OF_A]},
        Request("boundary"),
        "no no no",
    ),
    "a denial gets wider, and waits where it was not": (
        {"boundary": [ALLOW_ALL, DENY_GET_A]},
        {"boundary": [ALLOW_ALL, DENY_ALL_OF_A]},
        Request("boundary", action="s:Put"),
        "yes yes no",
    ),
    "a denial gets narrower": (
        {"boundary": [ALLOW_ALL, DENY_ALL_OF_A]},
        {"boundary": [ALLOW_ALL, DENY_GET_A]},
        Request("boundary", action="s:Put"),
        "no yes yes",
    ),
    "a denial of all but a list gets narrower": (
        {"boundary": [ALLOW_ALL, DENY_ALL_BUT_PUT]},
        {"boundary": [ALLOW_ALL, DENY_ALL_BUT_BOTH]},
        Request("boundary", action="s:List"),
        "no no no",
    ),
    "a role loses": ({"attached": [GET_A, PUT_B]}, {"attached": [PUT_B]}, Request(), "yes yes no"),
    "a role loses, in a policy that also gains": (
        {"attached": [GET_A]},
        {"attached": [PUT_B]},
        Request(),
        "yes yes no",
    ),
    "an attached policy denies": (
        {"attached": [ALLOW_ALL]},
        {"attached": [ALLOW_ALL, DENY_GET_A]},
        Request(),
        "yes yes no",
    ),
    "an attached policy no longer denies": (
        {"attached": [ALLOW_ALL, DENY_GET_A]},
        {"attached": [ALLOW_ALL]},
        Request(),
        "no yes yes",
    ),
    "an inline policy denies": ({"inline": [ALLOW_ALL]}, {"inline": [ALLOW_ALL, DENY_GET_A]}, Request(), "yes yes no"),
    "an inline policy no longer denies": (
        {"inline": [ALLOW_ALL, DENY_GET_A]},
        {"inline": [ALLOW_ALL]},
        Request(),
        "no yes yes",
    ),
    "a denial moves from an inline policy to an attached one": (
        {"inline": [ALLOW_ALL, DENY_GET_A], "attached": [PUT_B]},
        {"inline": [ALLOW_ALL], "attached": [PUT_B, DENY_GET_A]},
        Request(),
        "no no no",
    ),
    "an attached policy that only denies is new": (
        {"inline": [ALLOW_ALL]},
        {"inline": [ALLOW_ALL], "attached": [DENY_GET_A]},
        Request(),
        "yes yes no",
    ),
    "a policy of AWS goes": ({"arns": [READS, WRITES]}, {"arns": [WRITES]}, Request(), "yes yes no"),
    "a policy of AWS comes": ({"arns": [WRITES]}, {"arns": [READS, WRITES]}, Request(), "no yes yes"),
    "a permissions boundary comes": (
        {"inline": [ALLOW_ALL]},
        {"inline": [ALLOW_ALL], "limit": WRITES},
        Request(),
        "yes yes no",
    ),
    "a permissions boundary goes": (
        {"inline": [ALLOW_ALL], "limit": WRITES},
        {"inline": [ALLOW_ALL]},
        Request(),
        "no yes yes",
    ),
    "another principal is trusted, the one before": (
        {"trust": [trust_principal(ANNA)]},
        {"trust": [trust_principal(BERT)]},
        Request("trust"),
        "yes yes no",
    ),
    "another principal is trusted, the one after": (
        {"trust": [trust_principal(ANNA)]},
        {"trust": [trust_principal(BERT)]},
        Request("trust", principal=BERT),
        "no yes yes",
    ),
    "a trust policy denies": (
        {},
        {"trust": [trust_principal(ANNA), trust_principal(ANNA, "Deny")]},
        Request("trust"),
        "yes yes no",
    ),
    "a trust policy no longer denies": (
        {"trust": [trust_principal(ANNA), trust_principal(ANNA, "Deny")]},
        {},
        Request("trust"),
        "no yes yes",
    ),
    "a bucket policy denies": (
        {},
        {"bucket": [open_bucket("Allow"), open_bucket("Deny")]},
        Request("bucket"),
        "yes yes no",
    ),
}


@pytest.mark.parametrize(("first", "second", "request_", "decisions"), CHANGES.values(), ids=CHANGES)
def test_each_kind_of_change_takes_effect_on_the_side_where_it_takes_nothing_away(
    first: dict[str, Any], second: dict[str, Any], request_: Request, decisions: str
) -> None:
    before, after = make_template(**first), make_template(**second)
    during = join_releases(before, after)
    answers = " ".join("yes" if is_allowed(template, request_) else "no" for template in (before, during, after))
    assert answers == decisions
    # After the platform, nothing is left of the time in between; that state is what a saved plan may execute first.
    assert join_releases(during, after, transition.keep_of(())) == after
    assert transition.holds_only_rights_of(make_release(before), make_release(after), make_release(during))


def test_a_role_cannot_have_two_permissions_boundaries() -> None:
    with pytest.raises(
        UserError, match=r"^role cannot have the permissions boundaries of both releases; deploy in two"
    ):
        join_releases(make_template(limit=READS), make_template(limit=WRITES))


def test_a_policy_of_which_nothing_is_left_in_between_stops_the_deployment() -> None:
    with pytest.raises(UserError, match=r"^boundary would say nothing while the platform is deployed; deploy in two"):
        join_releases(make_template(boundary=[DENY_ON_MONDAY]), make_template(boundary=[DENY_ON_TUESDAY]))


def test_a_right_on_a_resource_that_goes_stops_the_deployment() -> None:
    """In the template in between, nothing could name it."""
    before = make_template(boundary=[{**GET_A, "Resource": {"Fn::GetAtt": ["Gone", "Arn"]}}])
    before["Resources"]["Gone"] = {"Type": "AWS::SQS::Queue"}
    with pytest.raises(
        UserError, match=r"^a right on \$\{Gone\.Arn\} cannot be kept .*, because Gone is removed; deploy"
    ):
        join_releases(before, make_template(boundary=[PUT_B]))


@pytest.mark.parametrize(
    ("part", "statements", "holder", "longest"),
    [
        ("boundary", [{**GET_A, "Resource": [f"queue-{number:04}" for number in range(500)]}], "boundary", "6,144"),
        ("inline", [{**GET_A, "Resource": [f"queue-{number:04}" for number in range(900)]}], "role", "10,240"),
        ("trust", [trust_principal(f"{ANNA}-{number:04}") for number in range(30)], "role", "2,048"),
        (
            "bucket",
            [{**open_bucket("Allow"), "Resource": f"{number:0100}"} for number in range(200)],
            "Bucket",
            "20,480",
        ),
    ],
)
def test_a_policy_that_gets_longer_than_iam_and_s3_accept_stops_the_deployment(
    part: str, statements: list[dict[str, Any]], holder: str, longest: str
) -> None:
    """By the quotas of IAM, of which the limits of a trust policy and of attached policies can be raised, and of S3."""
    additions = {"boundary": PUT_B, "inline": PUT_B, "trust": trust_principal(BERT), "bucket": open_bucket("Allow")}
    with pytest.raises(
        UserError, match=rf"^{holder} cannot hold the rights of both releases: .* at most {longest} char"
    ):
        join_releases(make_template(**{part: statements}), make_template(**{part: [additions[part]]}))


def test_a_new_denial_for_another_environment_waits_for_its_deployment() -> None:
    deny_prod = {**DENY_GET_A, "Resource": ["a-prod"]}
    after = make_template(boundary=[ALLOW_ALL, deny_prod, DENY_GET_A])
    end = join_releases(make_template(), after, transition.keep_of(["prod"]))
    decisions = [is_allowed(end, Request("boundary", resource=name)) for name in ("a-prod", "a")]
    assert decisions == [True, False]


@pytest.mark.parametrize(
    "wider",
    [
        {"arns": [READS]},
        {"boundary": [ALLOW_ALL, PUT_B]},
        {"trust": [trust_principal(ANNA), trust_principal(BERT)]},
        {"boundary": [ALLOW_ALL]},
        {"limit": READS},
    ],
)
def test_what_neither_release_has_is_no_state_in_between(wider: dict[str, Any]) -> None:
    release = make_release(make_template(boundary=[GET_A, DENY_ON_MONDAY]))
    parts = {"boundary": [GET_A, DENY_ON_MONDAY]} | wider
    assert not transition.holds_only_rights_of(release, release, make_release(make_template(**parts)))


@st.composite
def make_statements(draw: st.DrawFn) -> list[dict[str, Any]]:
    def draw_statement() -> dict[str, Any]:
        statement: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
        action_key = draw(st.sampled_from(["Action", "Action", "NotAction"]))
        resource_key = draw(st.sampled_from(["Resource", "Resource", "NotResource"]))
        names = st.lists(st.sampled_from(["s:Get", "s:GetAll", "s:Put", "s:Get*", "S:*", "*"]), min_size=1, max_size=2)
        statement[action_key] = draw(names)
        resources = st.lists(st.sampled_from(["a", "b", "ab", "a*", "a?", "*"]), min_size=1, max_size=2)
        statement[resource_key] = draw(resources)
        day = draw(st.sampled_from(["", "", "monday", "tuesday"]))
        return statement | ({"Condition": {"StringEquals": {"day": day}}} if day else {})

    return [GET_A, *(draw_statement() for _ in range(draw(st.integers(0, 3))))]


PARTS = st.fixed_dictionaries(
    {"boundary": make_statements(), "attached": make_statements(), "inline": make_statements()},
    optional={"limit": st.just(WRITES)},
)
REQUESTS = [
    Request(of, action, resource, day)
    for of in ("role", "boundary")
    for action in ("s:Get", "s:GetAll", "s:Put", "t:Get")
    for resource in ("a", "b", "ab")
    for day in ("monday", "tuesday")
]


def test_each_list_of_what_is_excluded_has_a_statement_of_its_own() -> None:
    """Joined, they would grant less than both."""
    document = {
        "Statement": [
            {"Effect": "Allow", "NotAction": ["s:Get"], "Resource": ["a"]},
            {"Effect": "Allow", "NotAction": ["s:Get", "s:GetAll"], "Resource": ["a"]},
            {"Effect": "Allow", "Action": ["s:Get"], "NotResource": ["a"]},
            {"Effect": "Allow", "Action": ["s:Get"], "NotResource": ["a", "b"]},
        ]
    }
    held = rights.read_rights(document)
    assert rights.read_rights({"Statement": list(rights.write_statements(held))}) == held


@settings(max_examples=150, deadline=None)
@given(PARTS, PARTS)
def test_whatever_either_release_allows_is_allowed_in_between(first: dict[str, Any], second: dict[str, Any]) -> None:
    before, after = make_template(**first), make_template(**second)
    during = join_releases(before, after)
    for request in REQUESTS:
        if is_allowed(before, request) or is_allowed(after, request):
            assert is_allowed(during, request), request
    assert transition.holds_only_rights_of(make_release(before), make_release(after), make_release(during))
    unchanged = join_releases(before, before)
    assert unchanged == before
