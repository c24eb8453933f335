"""Checks the subject that GitHub's roles trust: a repository's name can pass to another owner, its ids cannot.

https://docs.github.com/en/actions/reference/openid-connect-reference#immutable-subject-claims
"""

from ..finding import Finding, Verdict
from .situation import Situation

SUBJECT = "github"


def check_github_subject(situation: Situation) -> list[Finding]:
    """Check that the setting has the ids of the repository; no findings without a repository."""
    repository = situation.github_repository
    if not repository:
        return []
    if "@" in repository:
        return [Finding(SUBJECT, Verdict.OK, f"GitHub's roles trust {repository} by its ids")]
    return [
        Finding(
            SUBJECT,
            Verdict.WARNING,
            f"GitHub's roles trust {repository} by its name alone, in GitHub's older form of the subject",
            "opt in to immutable subjects and write OWNER@ID/NAME@ID (docs/deploying.md#settings)",
        )
    ]
