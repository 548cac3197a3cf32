"""No test asserts a time, and neither does hypothesis for one."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
