"""What all commands share. It imports no command, and nothing from the packages beside it.

The modules of the commands import what they work with, the SDK above all, inside the functions that use it: importing
it takes longer than all else that ``--help`` or a refused argument needs. tests/test_start.py lists what must be late.

errors.py     UserError, the base of the errors that a user can act on, and AWS's errors in one line
denials.py    denials of AWS: the policy at fault, and what helps against it
files.py      files that a user names, written whole or not at all; JSON that may be anything
command.py    how a command ends: errors in one line, exit codes, Ctrl-C
streams.py    standard input, output and error, whatever the caller has closed, and where lost output goes
watch.py      the operation that continues if a command ends now
connections.py  how long a command waits for an endpoint, and that it says so
threads.py    calls side by side, which Ctrl-C ends
requests.py   what was requested of AWS: the action and the resource of a refusal, and what may have changed
target.py     where a command finds AWS: session, endpoint, account, Region
clients.py    the types of AWS's clients
packaging.py  where packaged files go, and what a place adds to the functions
templates.py  templates and the ones nested in them, parsed
conditions.py what hangs on a condition whose result no template tells
evaluate.py   resolves a template with its parameters
evaluated.py  the result: resources whose properties are values, and what is not known of them
loops.py      Fn::ForEach, expanded
terminal.py   prints texts from elsewhere without letting them control the terminal
suggestion.py  the commands that messages suggest, quoted, with the options that were given
states.py     the short names of the workflow's states
printable.py  such texts, with escapes in place of control characters
console.py    the console that prints only these, with tables and colours
waiting.py    polling with growing pauses, until a timeout
wording.py    words that messages share
paths.py      paths in this repository
"""
