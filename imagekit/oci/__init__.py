"""Layers, images and registries without a daemon: OCI formats, written by us.

A wheel is an archive with a hash, so its layer is a pure function of it: the same bytes on every machine.
"""
