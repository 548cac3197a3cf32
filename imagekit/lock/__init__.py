"""Pinned: every Python artefact by file name and sha256, and the names of everything else."""
