from .cli import audit

audit()
