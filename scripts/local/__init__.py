"""The embedded AWS: MiniStack on loopback with IAM enforced, and AWS's own runtime client running the functions.

server.py        start it, find it running, end it
serve.py         the server's own process
corrections.py   every correction of MiniStack, each with its reason
target.py        where the deployer finds it, and what local packaging adds to the functions
"""
