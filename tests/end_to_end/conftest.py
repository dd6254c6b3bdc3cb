"""Where there is no C compiler, the tests of the C program are not there either."""

import shutil

if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
    collect_ignore = ["test_c_program.py"]
