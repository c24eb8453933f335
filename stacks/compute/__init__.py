"""The functions, and the schedule of one of them.

stack.py          the template
function_code.py  their source, and its digest
versions.py       what a version of a function holds, and so when one is published
layers.py         the gateway's library, and a digest of what the layer contains
runtime.py        the runtime they run on
"""
