"""The functions.

stack.py          the template
function_code.py  the source files, and their digest
traffic_shift.py  how CodeDeploy moves invocations to a new version, if the setting asks for it
versions.py       the description of a version, whose changes publish a new one
layers.py         the layer with the gateway's library, and its digest
runtime.py        the runtime of the functions
"""
