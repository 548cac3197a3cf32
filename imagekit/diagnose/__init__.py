"""Errors of the field that are known: what an error text means, how to be sure of it, and what mends it."""
