"""Benchmarks that run inside an image: `python -B inside --quick`.

They know the standard library and what the image holds, and nothing of imagekit: the folder can be mounted into any
image, ours or not.
"""
