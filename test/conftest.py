"""What all tests share: hypothesis without time limits (a first call may compile), and repeatable where CI is set."""

import os

from hypothesis import settings

settings.register_profile("mlreco", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("mlreco")
