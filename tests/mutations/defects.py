"""Every defect that is planted.

Two kinds of check count as catching one: a test, and a rule of cfn-lint. That a template is not what the generator
emits does not: a defect is as easily written in stacks/, and then it is emitted.
"""

from . import defects_access, defects_deployers, defects_keys, defects_stores, defects_watching, defects_workflow

DEFECTS = [
    *defects_access.DEFECTS,
    *defects_keys.DEFECTS,
    *defects_stores.DEFECTS,
    *defects_workflow.DEFECTS,
    *defects_watching.DEFECTS,
    *defects_deployers.DEFECTS,
]
