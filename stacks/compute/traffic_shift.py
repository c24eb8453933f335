"""How invocations move to a new version of a function: by CodeDeploy, if the setting asks for it.

CloudFormation makes a deployment of CodeDeploy from each change of an alias's version, and waits for its end.
CodeDeploy sends a part of the invocations to the new version, and all to the old one again if an alarm goes off.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
"""

from troposphere import Equals, If, Not, Ref, Sub, Template, awslambda, codedeploy
from troposphere.policies import CodeDeployLambdaAliasUpdate, UpdatePolicy

from .. import names, references
from ..settings import ALL_AT_ONCE
from ..wiring import Value, platform_tags, to_pascal_case

_SHIFTS_TRAFFIC = "ShiftsTraffic"
_APPLICATION = "ShiftingApplication"


def add_application(template: Template, traffic_shift: Value) -> None:
    """Add the application, and the condition under which it and its groups exist."""
    template.add_condition(_SHIFTS_TRAFFIC, Not(Equals(traffic_shift, ALL_AT_ONCE)))
    template.add_resource(
        codedeploy.Application(
            _APPLICATION,
            Condition=_SHIFTS_TRAFFIC,
            ApplicationName=references.in_template(names.SHIFTING_APPLICATION),
            ComputePlatform="Lambda",
            Tags=platform_tags(),
        )
    )


def shift_alias(template: Template, alias: awslambda.Alias, function: names.Function, role_arn: Value) -> None:
    """Add the deployment group of a function, by which its alias is updated.

    Each alias has a group of its own, because a group has one deployment at a time:
    https://github.com/aws/serverless-application-model/issues/291
    """
    watched = [*names.SHIFTING_ALARMS]
    if function is names.RECONCILIATION:
        watched.append(names.RECONCILIATION_SHIFTING_ALARM)
    group = template.add_resource(
        codedeploy.DeploymentGroup(
            f"{to_pascal_case(function.purpose)}Shift",
            Condition=_SHIFTS_TRAFFIC,
            ApplicationName=Ref(_APPLICATION),
            DeploymentGroupName=function.purpose,
            ServiceRoleArn=role_arn,
            DeploymentConfigName=Sub("CodeDeployDefault.Lambda${TrafficShift}"),
            # The only style for Lambda: https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-groups.html
            DeploymentStyle=codedeploy.DeploymentStyle(
                DeploymentType="BLUE_GREEN", DeploymentOption="WITH_TRAFFIC_CONTROL"
            ),
            AutoRollbackConfiguration=codedeploy.AutoRollbackConfiguration(
                Enabled=True,
                Events=["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
            ),
            AlarmConfiguration=codedeploy.AlarmConfiguration(
                Enabled=True,
                # By name, because the monitoring stack comes later, and has them before a function can change.
                Alarms=[codedeploy.Alarm(Name=references.in_template(alarm)) for alarm in watched],
                # A shift that nobody can watch ends, and goes back.
                IgnorePollAlarmFailure=False,
            ),
            Tags=platform_tags(),
        )
    )
    # Fn::If is allowed here:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-conditions.html
    update = CodeDeployLambdaAliasUpdate(ApplicationName=Ref(_APPLICATION), DeploymentGroupName=group.ref())
    alias.UpdatePolicy = UpdatePolicy(CodeDeployLambdaAliasUpdate=If(_SHIFTS_TRAFFIC, update, Ref("AWS::NoValue")))
