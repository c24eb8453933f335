"""The services that a Region offers, as boto3 knows them, without asking AWS."""

from ..finding import Finding, Verdict
from .situation import Situation

SUBJECT = "region"


def check_region(situation: Situation) -> list[Finding]:
    """Whether each service that the templates need has an endpoint in the Region.

    boto3's list is as old as boto3: a service that is not in it warns, and a Region that is not is unknown.
    """
    session = situation.target.session
    region, partition = situation.place["region"], situation.place["partition"]
    if region not in session.get_available_regions("cloudformation", partition):
        text = f"boto3 does not know the Region {region}, nor which services it offers"
        return [Finding(SUBJECT, Verdict.UNKNOWN, text, "check the Region's name; a newer boto3 may know it")]
    services = {one.type.split("::")[1].lower() for one in situation.resources}
    missing, unlisted = [], []
    for service in sorted(services):
        if service not in session.get_available_services():
            unlisted.append(service)
        # A service without Regions is the account's, such as IAM.
        elif (regions := session.get_available_regions(service, partition)) and region not in regions:
            missing.append(service)
    if missing:
        text = f"{region} may not offer {', '.join(missing)}"
        step = "see https://aws.amazon.com/about-aws/global-infrastructure/regional-product-services/"
        return [Finding(SUBJECT, Verdict.WARNING, text, step)]
    if unlisted:
        return [Finding(SUBJECT, Verdict.UNKNOWN, f"boto3 does not know the services {', '.join(unlisted)}")]
    return [Finding(SUBJECT, Verdict.OK, f"{region} offers the {len(services)} services that the templates need")]
