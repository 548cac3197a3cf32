"""No test asserts a time, and neither does hypothesis for one."""

import signal

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# a shell starts what is in its background with SIGINT ignored, and every child inherits that: none could be interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
