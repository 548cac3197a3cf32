import shutil


def check_tool_is_installed():
    assert shutil.which("acme-tool")
