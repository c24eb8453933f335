"""What an auditor asks, answered by one command: ``make audit``.

``deployed`` gives the templates as prod has them; ``scanners`` and ``packs`` let others judge them; ``privileges``
compares what roles are granted with what they use; ``trials`` runs the end-to-end tests, which record those calls and
look for marked values, and the mutations. Each check gives a ``results.Result``; ``table`` shows them.
"""
