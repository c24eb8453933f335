"""From the templates to a deployed platform, one module per step, each with one form in and one form out.

validate.py    the committed templates are fresh, and cfn-lint has nothing to say
package.py     templates and code -> a Package: every file to upload under a key that names its content
upload.py      a Package -> the artifact bucket, what is not there yet
stack.py       what is deployed now, and whether it can be changed
change_set.py  a template and parameters -> a Proposal, its changes walked to every nested stack
show.py        changes or outputs -> what a person reads
follow.py      a Proposal -> executed, its events told, and how it ended
target.py      where all that happens
deploy.py      the steps in order
cli.py         the command; the one place where an expected error becomes one line
"""
