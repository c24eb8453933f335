"""A page that shows payments as they flow, for the AWS emulator: on loopback, without a build step or a library.

__main__.py    `make page`
snapshot.py    what it shows, read from the platform
server.py      who may ask for it, the events that keep it current, and the two things that it does
page.html, page.css, page.js    what the browser gets
"""
