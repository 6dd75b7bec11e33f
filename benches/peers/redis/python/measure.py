"""One of the contenders in Python.

measure.py PEER MEASUREMENT DURABILITY ADDRESS SIZE

Prints the figures as one line of JSON, as the other contenders do.
"""

import importlib
import logging

import parts

logging.disable(logging.CRITICAL)
parts.run(importlib.import_module({"rq-simple": "with_rq"}.get(parts.name, f"with_{parts.name}")))
