"""What all commands share. It knows no command, and of the rooms beside it none.

errors.py     what a user can do something about, as one line
command.py    how a command ends: errors in one line, exit codes, Ctrl-C
target.py     AWS as a command reaches it: session, endpoint, account, Region
packaging.py  where packaged files go, and what a place adds to the functions
templates.py  the text of a template, parsed, with the nested ones in it
evaluate.py   a template with its parameters resolved: resources whose properties are values
waiting.py    polling with growing pauses, and an end
paths.py      where things are in this repository
"""
