"""The command line ``jf``: options once → a function of :mod:`..control` → a table, a panel or JSON.

:mod:`.main` is the console script, :mod:`.jf` the application with its groups. The module of a group is
imported when one of its commands is used; nothing here knows how the queue database or the runner work.
"""
