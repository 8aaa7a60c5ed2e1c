"""The spec's options are known wherever pytest starts in this folder.

Were they in tests/conftest.py, `pytest --impl mine.py` would fail: pytest takes
mine.py for the place to start looking, and reads no conftest.py from elsewhere.
"""

pytest_plugins = ["tests.plugin"]
