"""Checks by boto3's own lists, without a call to AWS, which services a Region offers."""

from ..finding import Finding, Verdict
from .situation import Situation

SUBJECT = "region"


def check_region(situation: Situation) -> list[Finding]:
    """Check that the Region offers each service that the templates need, by boto3's lists, which may be outdated."""
    session = situation.target.session
    region, partition = situation.place["region"], situation.place["partition"]
    if region not in session.get_available_regions("cloudformation", partition):
        text = f"boto3 does not know the Region {region}, nor which services it offers"
        return [Finding(SUBJECT, Verdict.UNKNOWN, text, "check the Region's name; a newer boto3 may know it")]
    services = {resource.type.split("::")[1].lower() for resource in situation.resources}
    missing, unlisted = [], []
    for service in sorted(services):
        if service not in session.get_available_services():
            unlisted.append(service)
        # A service without Regions, such as IAM, is global.
        elif (regions := session.get_available_regions(service, partition)) and region not in regions:
            missing.append(service)
    if missing:
        text = f"{region} may not offer {', '.join(missing)}"
        step = "see https://aws.amazon.com/about-aws/global-infrastructure/regional-product-services/"
        return [Finding(SUBJECT, Verdict.WARNING, text, step)]
    if unlisted:
        return [Finding(SUBJECT, Verdict.UNKNOWN, f"boto3 does not know the services {', '.join(unlisted)}")]
    return [Finding(SUBJECT, Verdict.OK, f"{region} offers the {len(services)} services that the templates need")]
