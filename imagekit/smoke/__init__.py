"""Proof of an image: the program that runs inside it. What starts it from outside is in imagekit/proof.

Inside the image this folder is /opt/imagekit/smoke and knows only the standard library and what the image holds, so
nothing here may import imagekit. `start` is the image's entry point: the preflight.
"""
