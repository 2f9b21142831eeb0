"""What runs on the server, with nothing installed there: Python 3.8 and its standard library, and POSIX shell.

Nothing here imports another part of vivavoce. A module imports another one of this folder by ``from .name import ...``
at the start of a line, and has ``main(request)`` where it can be run.
"""
