"""Proof of an image: the program that runs inside it, and what runs that program from outside.

Inside the image this folder is /opt/imagekit/smoke and knows only the standard library and what the image holds, so
nothing here but the runner may import imagekit. `start` is the image's entry point: the preflight.
"""
