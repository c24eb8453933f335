"""The artifacts stack, which must exist before a deployment: the bucket and, optionally, the roles that deploy."""

from troposphere import Output, Parameter, Template

from ..settings import Bootstrap, all_settings
from ..wiring import CheckedTemplate
from . import deployers
from .bucket import add_buckets
from .deployers.policy_terms import Environments


def build(environments: Environments) -> Template:
    """Build and return the template. The roles that deploy get access to these ``environments`` only."""
    template = CheckedTemplate(Description="Payment platform: where the deployer keeps templates and function packages")
    template.set_version()
    template.add_parameter(
        Parameter("Owner", Type="String", Default="PaymentTeam", Description="The Owner tag of the bucket")
    )
    for setting in all_settings(Bootstrap):
        template.add_parameter(setting.parameter())
    bucket = add_buckets(template)
    template.add_output(Output("BucketName", Value=bucket.ref()))
    deployers.add_deployers(template, bucket.get_att("Arn"), environments)
    return template
