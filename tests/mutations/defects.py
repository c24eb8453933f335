"""All defects.

A test or a rule of cfn-lint must detect each. The comparison of templates with the generator does not count, because a
defect in stacks/ is emitted into the templates.
"""

from . import defects_access, defects_data, defects_deployers, defects_keys, defects_monitoring, defects_workflow

DEFECTS = [
    *defects_access.DEFECTS,
    *defects_keys.DEFECTS,
    *defects_data.DEFECTS,
    *defects_workflow.DEFECTS,
    *defects_monitoring.DEFECTS,
    *defects_deployers.DEFECTS,
]
