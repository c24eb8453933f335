"""A live web page of the payments on the AWS emulator: on loopback, without a build step or a library.

__main__.py       `make page`
snapshot.py       what it shows, read from the platform, and its two actions
feed.py           the snapshots that open pages follow
server.py         the HTTP server: routes, and who may use them
connections.py    how many threads and connections it has at most
documents.py      the runbook, and what it refers to, as HTML
page.html, page.css, page.js    the page in the browser
"""
