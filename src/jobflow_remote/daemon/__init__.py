"""The daemon: starts, stops and watches the processes of the runner. It knows processes, not jobs."""
