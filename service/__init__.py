"""The only package that knows names, files, processes and users."""

import sys

from service.isolation import is_ours, put_current_folder_last

if is_ours(sys.argv):  # before other imports, which a file of the current folder could hide
    put_current_folder_last()
